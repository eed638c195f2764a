"""A run: the unedited answers first, then every stage, each question journalled, and records out of it.

Nothing here knows torch. Questions are asked in chunks whose make-up depends on the cases and the seed
alone, so that a run that was stopped asks the very same chunks again.

Two things are known without asking. Where no edit fires the answer is the unedited model's: a sample of
those questions is asked all the same, and one other answer in it makes the stage ask all of them. And where
an answer was generated token by token, teacher forcing of that answer finds each of its tokens on top.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from okedit_cli.evaluate.bench import Answerer, Bench, Forced, Progress, Question, Said
from okedit_cli.evaluate.case import METRICS, Case, Probe
from okedit_cli.evaluate.journal import Journal
from okedit_cli.evaluate.plan import Plan, Stage, stages
from okedit_cli.evaluate.records import Decision, Record
from okedit_cli.samples.wording import normal

CHUNK = 64  # questions between two writes of the journal
SAMPLE = 16  # of as many questions that no edit fires on one is asked all the same


def run(
    bench: Bench,
    cases: Sequence[Case],
    plan: Plan,
    journal: Journal,
    progress: Progress | None = None,
    part: range | None = None,
) -> list[Record]:
    """Every record of a plan, in the order of its stages, or of a part of the cases (plan.stages).
    KeyboardInterrupt leaves the journal whole.
    """
    found = stages(cases, plan, part)
    asker = _Asker(journal, plan.forced, progress or (lambda stage, done, total: None))
    scored = {case.id: case for stage in found for case in stage.scored}
    asker.unedited(bench, list(scored.values()))
    done: dict[str, int] = {}
    totals: dict[str, int] = {}
    for stage in found:
        totals[stage.label] = totals.get(stage.label, 0) + len(stage.scored)
    records = []
    for stage in found:
        asker.edited(bench, stage)
        done[stage.label] = done.get(stage.label, 0) + len(stage.scored)
        asker.progress(stage.label, done[stage.label], totals[stage.label])
        records += asker.records(stage)
    return records


class _Asker:
    """Asks what the journal does not hold yet, and reads records from it."""

    def __init__(self, journal: Journal, forced: bool, progress: Progress) -> None:
        self.journal, self.forced, self.progress = journal, forced, progress
        self._claims: tuple[tuple[Case, ...], dict[Question, set[str]]] = ((), {})

    def unedited(self, bench: Bench, cases: Sequence[Case]) -> None:
        """The unedited model's answers to every question of the cases, each asked once."""
        probes = [(metric, probe) for case in cases for _, metric, probe in case.probes()]
        keyed = {_key("base", _asked(probe)): _asked(probe) for _, probe in probes}
        if any(key not in self.journal for key in keyed):
            with bench.plain() as answerer:
                self._answer(answerer, keyed, "unedited answers")
        if not self.forced:
            return
        wanted = {
            _key("base-forced", _asked(probe), answer): (_asked(probe), answer)
            for metric, probe in probes
            if (answer := self._forced_answer(probe))
        }
        if any(key not in self.journal for key in wanted):
            with bench.plain() as answerer:
                self._force(answerer, wanted, "base", "unedited, teacher-forced")

    def edited(self, bench: Bench, stage: Stage) -> None:
        """The answers of the model with the stage's edits to the questions of its cases, each asked once."""
        probes = [probe for case in stage.scored for _, _, probe in case.probes()]
        keyed = {_key(stage.name, _asked(probe)): _asked(probe) for probe in probes}
        wanted = {}
        if self.forced:
            wanted = {
                _key(f"{stage.name}-forced", _asked(probe), answer): (_asked(probe), answer)
                for probe in probes
                if (answer := self._forced_answer(probe))
            }
        if all(key in self.journal for key in (*keyed, *wanted)):
            return
        single = len(stage.scored) == 1  # then the stages are counted, not their questions
        with bench.edited(stage.edits, stage.within) as answerer:
            label = "" if single else stage.label
            reused = self._reuse(answerer, keyed, stage.name, label and f"{label}: what fires")
            asked = {key: question for key, question in keyed.items() if key not in reused}
            self._answer(answerer, asked, label and f"{label}: questions")
            self._force(answerer, wanted, stage.name, label and f"{label}: teacher-forced")

    def _forced_answer(self, probe: Probe) -> str:
        """What is teacher-forced: the answer that the data set gives, else the unedited model's own."""
        return probe.answers[0] if probe.answers else self.journal[_key("base", _asked(probe))]["text"]

    def _reuse(self, answerer: Answerer, keyed: dict[str, Question], stage: str, label: str) -> set[str]:
        """Keys of questions that no edit fires on, whose unedited answers are taken over.

        No keys if one of a sample of them, which is asked, is answered otherwise.
        """
        mark = _key(f"{stage}-reused", Question("", None))
        if mark not in self.journal:
            quiet = self._quiet(answerer, keyed, label)
            base = {key: self.journal[_key("base", keyed[key])] for key in quiet}
            sample = [key for key in quiet if int(key, 16) % SAMPLE == 0]
            said = answerer.answer([keyed[key] for key in sample])
            same = all(one.text == base[key]["text"] for key, one in zip(sample, said, strict=True))
            found = {key: _said_json(one) for key, one in zip(sample, said, strict=True)}
            for key in quiet if same else ():
                old = base[key]
                taken = Said(old["text"], quiet[key], old.get("ids", ()), reused=True)
                found.setdefault(key, _said_json(taken))
            self.journal.put([*found.items(), (mark, sorted(found) if same else [])])
        return set(self.journal[mark])

    def _quiet(self, answerer: Answerer, keyed: dict[str, Question], label: str) -> dict[str, Decision]:
        """What was decided for the questions that no edit fires on, as far as that can be told ahead."""
        keys, quiet = sorted(keyed, key=lambda key: _place(keyed[key])), {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            decisions = answerer.decide([keyed[key] for key in part])
            if decisions is None:
                break
            quiet |= {key: d for key, d in zip(part, decisions, strict=True) if not d.acts}
            self._tell(label, start + len(part), len(keys))
        return quiet

    def _answer(self, answerer: Answerer, keyed: dict[str, Question], label: str) -> None:
        for done, keys in self._chunks(keyed, label):
            said = answerer.answer([keyed[key] for key in keys])
            self.journal.put(zip(keys, map(_said_json, said), strict=True))
            self._tell(label, done, len(keyed))

    def _force(
        self, answerer: Answerer, wanted: dict[str, tuple[Question, str]], stage: str, label: str
    ) -> None:
        """Teacher forcing of (question, answer) by key, where what was said does not tell it already."""
        told = {}
        for key, (question, answer) in wanted.items():
            said, ids = self.journal[_key(stage, question)], answerer.spelled(answer)
            if said.get("reused"):
                told[key] = self.journal[_key("base-forced", question, answer)]
            elif tuple(said.get("ids", ()))[: len(ids)] == ids:
                told[key] = _forced_json(Forced(ids, ids))
        self.journal.put((key, value) for key, value in told.items() if key not in self.journal)
        wanted = {key: one for key, one in wanted.items() if key not in told}
        for done, keys in self._chunks(wanted, label):
            questions, answers = zip(*(wanted[key] for key in keys), strict=True)
            found = answerer.forced(questions, answers)
            self.journal.put(zip(keys, map(_forced_json, found), strict=True))
            self._tell(label, done, len(wanted))

    def _chunks(self, keyed: dict, label: str) -> Iterator[tuple[int, list[str]]]:
        """(done after it, keys) of each chunk that is not wholly journalled."""
        keys = sorted(keyed, key=lambda key: _place(keyed[key]))
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            if any(key not in self.journal for key in part):
                yield start + len(part), part

    def _tell(self, label: str, done: int, total: int) -> None:
        if label:
            self.progress(label, done, total)

    def records(self, stage: Stage) -> list[Record]:
        """The stage's records, case by case, question by question."""
        if self._claims[0] is not stage.within:  # stages of one sequence share it
            self._claims = stage.within, _claims(stage.within)
        active = {case.id for case in stage.edits}
        return [
            self._record(stage, case, key, metric, probe, active - {case.id})
            for case in stage.scored
            for key, metric, probe in case.probes()
        ]

    def _record(
        self, stage: Stage, case: Case, key: str, metric: str, probe: Probe, others: set[str]
    ) -> Record:
        asked, positive = _asked(probe), METRICS[metric].positive
        base, after = self.journal[_key("base", asked)], self.journal[_key(stage.name, asked)]
        forced_before = forced_after = None
        answer = self._forced_answer(probe)
        if self.forced and answer:
            old = _forced(self.journal[_key("base-forced", asked, answer)])
            new = _forced(self.journal[_key(f"{stage.name}-forced", asked, answer)])
            forced_before = old.accuracy if positive else None
            forced_after = new.accuracy if positive else new.agreement(old)
        claimed = self._claims[1].get(_claim(probe.prompt, probe.picture), set()) & others
        return Record(
            stage=stage.label,
            case=case.id,
            metric=metric,
            key=key,
            prompt=probe.prompt,
            before=base["text"],
            after=after["text"],
            picture=None if probe.picture is None else str(probe.picture),
            answers=probe.answers,
            cell=probe.cell,
            kind=case.kind,
            forced_before=forced_before,
            forced_after=forced_after,
            decision=Decision(**after["decision"]) if after.get("decision") is not None else None,
            contested=bool(claimed) and not positive,
            reused=after.get("reused", False),
            truth=case.truth if metric in ("rel", "i_gen") else (),
        )


def _asked(probe: Probe) -> Question:
    return Question(probe.prompt, probe.picture)


def _key(stage: str, question: Question, answer: str | None = None) -> str:
    """A journal key: who is asked what, short because there are many."""
    content = json.dumps([stage, question.prompt, str(question.picture or ""), answer], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _place(item) -> tuple[str, ...]:
    """Where a question stands among others: those about one picture together."""
    question, answer = item if isinstance(item[0], Question) else (item, "")
    return str(question.picture or ""), question.prompt, answer


def _claim(prompt: str, picture) -> Question:
    return Question(normal(prompt), picture)


def _claims(cases: Sequence[Case]) -> dict[Question, set[str]]:
    """What edits are about, in any of their own words -> ids of their cases."""
    found: dict[Question, set[str]] = {}
    for case in cases:
        for _, metric, probe in case.probes():
            if METRICS[metric].positive:
                found.setdefault(_claim(probe.prompt, probe.picture), set()).add(case.id)
    return found


def _said_json(said: Said) -> dict:
    return {
        "text": said.text,
        **({"decision": asdict(said.decision)} if said.decision is not None else {}),
        **({"ids": list(said.ids)} if said.ids else {}),
        **({"reused": True} if said.reused else {}),
    }


def _forced_json(forced: Forced) -> dict:
    return {"gold": list(forced.gold), "top": list(forced.top)}


def _forced(value: dict) -> Forced:
    return Forced(tuple(value["gold"]), tuple(value["top"]))
