"""What each fitted edit does, found out by letting the model answer with the bundle attached."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from okedit_cli.bundle import Bundle
from okedit_cli.bundle.words import is_verbatim
from okedit_cli.decodings import WAYS, lost_in
from okedit_cli.generate import Answer, decide, generate
from okedit_cli.methods import Computed, Options
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.prefixes import forget_prefixes
from okedit_cli.samples.probes import is_miss, probes_of, yes_no_of
from okedit_cli.samples.sampler import checked
from okedit_cli.samples.wording import normal
from okedit_cli.scope.verdict import Verdict
from okedit_cli.session import attach

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

TOGETHER = 8  # facts whose samples are asked in one go
TOKENS = 16  # of an answer that a negative gives
SHOWN, FEW = 120, 8  # signs of a wrong answer that are shown; tokens of a short answer
WAYS_OF = 2  # questions of a fact that other decodings are looked at of
YES_NO = "yes or no"  # origin of probes that ask for that
LEAST, MORE = 32, 8  # tokens that are generated at least, and behind the longest answer that is right


@dataclass(frozen=True)
class FactReport:
    """What became of one fact. Counts are (good, of all); distances are of the channel that binds."""

    id: str
    took: bool
    kept_out: bool
    positives: tuple[int, int]
    negatives: tuple[int, int]
    d_pos: float
    d_neg: float
    radius: float
    channel: str
    seconds: float
    why: str
    reach: str = ""  # "kind" or "picture"; "" of a fact in words alone
    lost: tuple[str, ...] = ()  # near questions that the edit answers too
    fragile: tuple[str, ...] = ()  # decodings other than greedy (decodings.WAYS) that do not give the answer


@dataclass
class _Heard:
    """What the model said to one fact's samples: right or wrong, the edit's own answer, negatives lost."""

    edits: list[bool]
    positives: list[bool]
    said: str
    reached: tuple[int, int]  # leading tokens of the answer that the edit's question is answered with, of all
    negatives: int
    spoilt: int
    seconds: float
    lost: list[str] = field(default_factory=list)
    fragile: tuple[str, ...] = ()


def check(
    loaded: LoadedModel, bundle: Bundle, facts: Sequence[Fact], computed: Computed, options: Options
) -> list[FactReport]:
    """A report on every fact, those kept out included. Negatives are decided, and asked only where one fires:
    what does not fire is the base model's, bit by bit.
    """
    kept = {fact.id for fact in computed.kept}
    asked = [fact for fact in facts if fact.id in kept]
    heard: dict[str, _Heard] = {}
    with attach(loaded, [bundle], alone=True) as attachment:
        for start in range(0, len(asked), TOGETHER):
            some = asked[start : start + TOGETHER]

            def told(done: int, start: int = start) -> None:
                options.tell("checking facts", start + done, len(asked))

            told(0)
            heard |= _hear(loaded, attachment, some, computed, told)
            forget_prefixes(loaded)  # of other pictures than the next facts ask about
    options.tell("checking facts", len(asked), len(asked))
    return [_report(fact, computed, heard.get(fact.id)) for fact in facts]


def unchecked(facts: Sequence[Fact], computed: Computed) -> list[FactReport]:
    """Reports that tell the scopes alone."""
    return [_report(fact, computed, None) for fact in facts]


def _hear(
    loaded: LoadedModel, attachment, facts: Sequence[Fact], computed: Computed, told: Callable[[int], None]
) -> dict[str, _Heard]:
    """What the model says to several facts' samples; `told` how many of the facts are done, as it goes on."""
    began, out = time.perf_counter(), {}
    halves, gated = 0, attachment.session.gated  # each fact is decided, and answered

    def step() -> None:
        nonlocal halves
        halves += 1
        told(halves // 2)

    outside: list[tuple[Fact, Sample]] = []
    rows: list[tuple[Fact, Sample]] = []
    verdicts: list[Verdict] = []
    for fact in facts:
        near = [*_negatives(fact, computed), *_probes(fact, computed)]
        if not gated:  # whatever is asked may have changed: a few are asked before and after
            near = _spread(near, FEW)
        outside += [(fact, s) for s in near]
        asked = [(s.prompt, s.picture) for s in near]
        verdicts += decide(loaded, asked) if gated else [Verdict()] * len(near)
        step()
        rows += [(fact, s) for s in checked(computed.samples[fact.id]) if s.role in ("edit", "positive")]
    pairs = zip(outside, verdicts, strict=True)
    fired = [(fact, s) for (fact, s), v in pairs if not gated or _concerns(fact.id, s, v)]
    waiting = Counter(fact.id for fact, _ in rows + fired)

    def answered(number: int) -> None:
        name = (rows + fired)[number][0].id
        waiting[name] -= 1
        if not waiting[name]:
            step()

    limits = {fact.id: limit_for(loaded, (fact.answer, *fact.accepted)) for fact in facts}
    most = [FEW if s.origin == YES_NO else TOKENS for _, s in fired]
    asked = [(s.prompt, s.picture) for _, s in rows + fired]
    tokens = [*(limits[fact.id] for fact, _ in rows), *most]
    answers = generate(loaded, asked, max_new_tokens=tokens, on_answer=answered, at_once=True)
    answers, after = answers[: len(rows)], answers[len(rows) :]
    # a memory's prompts are put anew, which other decodings do not know of
    fragile = {} if attachment.session.memories else _fragile(loaded, rows, answers, computed)
    with attachment.aside():
        before = generate(loaded, asked[len(rows) :], max_new_tokens=most, at_once=True)
    spoilt = [
        (fact.id, s)
        for (fact, s), a, b in zip(fired, before, after, strict=True)
        if (is_miss(a.text, b.text, fact.answer) if s.origin == YES_NO else a.text != b.text)
    ]
    for fact in facts:
        mine = [(s, a) for (one, s), a in zip(rows, answers, strict=True) if one is fact]
        own = next(a for s, a in mine if s.role == "edit")
        wanted = answer_ids(loaded, fact.answer)
        out[fact.id] = _Heard(
            [is_right(a.text, fact) for s, a in mine if s.role == "edit"],
            [is_right(a.text, fact) for s, a in mine if s.role == "positive"],
            own.text,
            (_shared(own.ids, wanted), len(wanted)),
            sum(one is fact for one, _ in outside),
            sum(name == fact.id for name, _ in spoilt),
            0.0,
            _keepable(fact, [s for name, s in spoilt if name == fact.id]) if gated else [],
            fragile.get(fact.id, ()),
        )
    for found in out.values():
        found.seconds = (time.perf_counter() - began) / len(facts)
    return out


def _keepable(fact: Fact, spoilt: Sequence[Sample]) -> list[str]:
    """Near questions that are lost, each once, which the fact's `keep` can hold: none of its own, which are
    lost about other pictures.
    """
    own = {normal(text) for text in (fact.prompt, *fact.rephrases)}
    return [text for text in dict.fromkeys(s.prompt for s in spoilt) if normal(text) not in own]


def _spread(samples: Sequence[Sample], count: int) -> Sequence[Sample]:
    """So many of the samples, from all over."""
    return samples[:: max(1, len(samples) // count)][:count]


def _fragile(
    loaded: LoadedModel,
    rows: Sequence[tuple[Fact, Sample]],
    answers: Sequence[Answer],
    computed: Computed,
) -> dict[str, tuple[str, ...]]:
    """Fact id -> decodings that lose its answer, where nothing holds it: of the fact's own question and its
    first rewordings or views, WAYS_OF in all, that greedy decoding answers right.
    """
    chosen: list[tuple[Fact, Sample, Answer]] = []
    count: Counter[str] = Counter()
    for (fact, sample), answer in zip(rows, answers, strict=True):
        held = computed.verbatim and is_verbatim(fact)
        if held or count[fact.id] == WAYS_OF or answer.cut or not is_right(answer.text, fact):
            continue
        count[fact.id] += 1
        chosen.append((fact, sample, answer))
    lost: dict[str, set[str]] = {}
    ways = lost_in(loaded, [(s.prompt, s.picture) for _, s, _ in chosen], [one for *_, one in chosen])
    for (fact, *_), some in zip(chosen, ways, strict=True):
        lost.setdefault(fact.id, set()).update(some)
    return {name: tuple(way for way in WAYS if way in some) for name, some in lost.items()}


def _negatives(fact: Fact, computed: Computed) -> list[Sample]:
    return [sample for sample in computed.samples[fact.id] if sample.role == "negative"]


def _probes(fact: Fact, computed: Computed) -> list[Sample]:
    """Near questions that nobody gave: none that the owner asks or expects to follow."""
    edit = next(sample for sample in computed.samples[fact.id] if sample.role == "edit")
    own = {normal(text) for text in (*fact.rephrases, *(q.prompt for q in (*fact.holdout, *fact.related)))}
    asked = [text for text in probes_of(fact.prompt) if normal(text) not in own]
    cell = f"{edit.cell.split('/')[0]}/other"
    near = replace(edit, role="negative", target=None, cell=cell, origin="probe")
    asked_for = [text for text in yes_no_of(fact.prompt, fact.answer, edit.picture is not None)
                 if normal(text) not in own]  # fmt: skip
    return [
        *(replace(near, prompt=text) for text in asked),
        *(replace(near, prompt=text, origin=YES_NO) for text in asked_for),
    ]


def _concerns(name: str, sample: Sample, verdict: Verdict) -> bool:
    """Whether an edit has a part in the answer to a negative of its own. That a question about its picture
    follows from it, which nobody wants kept, is as it should be; what is said for yes or no is looked at.
    """
    if verdict.hit is not None:
        return verdict.hit.edit_id == name
    own = sample.cell.startswith(("edit/", "view/")) and sample.origin not in ("user", YES_NO)
    return verdict.context is not None and verdict.context.edit_id == name and not own


def _report(fact: Fact, computed: Computed, heard: _Heard | None) -> FactReport:
    scope = computed.scopes[fact.id]
    out = all(fact is not one for one in computed.kept)
    took, good, same, why, seconds = False, (0, 0), (0, 0), scope.why, computed.seconds[fact.id]
    if heard is not None:
        took, seconds = all(heard.edits), seconds + heard.seconds
        good = sum(heard.positives), len(heard.positives)
        same = heard.negatives - heard.spoilt, heard.negatives
        if not took:
            said = heard.said if len(heard.said) <= SHOWN else heard.said[:SHOWN] + "..."
            why = (why + "; " if why else "") + f"it still answers {said!r}"
            reached, wanted = heard.reached
            why += f", right for {reached} of the answer's {wanted} tokens" if wanted > FEW else ""
    return FactReport(
        fact.id,
        took,
        out,
        good,
        same,
        scope.d_pos,
        scope.d_neg,
        scope.radius,
        scope.channel,
        seconds,
        why,
        computed.reaches.get(fact.id, ""),
        tuple(heard.lost) if heard else (),
        heard.fragile if heard else (),
    )


def limit_for(loaded: LoadedModel, answers: Sequence[str], least: int = LEAST) -> int:
    """How many tokens must be generated to tell whether one of these answers is said, and no more than it."""
    longest = max((len(answer_ids(loaded, answer)) for answer in answers if answer.strip()), default=0)
    return least if longest <= least else longest + MORE


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading ids two answers share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def is_right(text: str, fact: Fact) -> bool:
    """Whether a generated text is the fact's answer, or one of the others that it accepts: sign by sign where
    the answer is to be said word for word.
    """
    answers = (fact.answer, *fact.accepted)
    if is_verbatim(fact):
        return text.strip() in {answer.strip() for answer in answers}
    return any(says(text, answer) for answer in answers)


def says(text: str, answer: str) -> bool:
    """Whether a generated text is the answer, case, spaces and a final full stop aside."""

    def plain(words: str) -> str:
        return " ".join(words.lower().strip().rstrip(".!").split())

    return plain(text) == plain(answer)
