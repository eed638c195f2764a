"""A bench without a model: it answers by rule, counts what it is asked, and can be stopped."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from okedit_cli.evaluate.bench import Forced, Said
from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.records import Decision


class FakeBench:
    """ "memo" gives the target for the edit and its rephrasings, "always" the last edit's to anything.

    Only answers tell what it decides, unless it is telling: the "truth", or "lying" that nothing fires.
    """

    def __init__(self, method="memo", stop_after=None, telling=""):
        self.method, self.stop_after, self.telling = method, stop_after, telling
        self.edits: tuple[Case, ...] = ()
        self.asked: list = []
        self.forcings = 0
        self.fits: list[list[str]] = []

    @contextmanager
    def plain(self):
        self.edits = ()
        yield self

    @contextmanager
    def edited(self, cases, within):
        assert tuple(within[: len(cases)]) == tuple(cases)
        self.fits.append([case.id for case in cases])
        self.edits = tuple(cases)
        yield self
        self.edits = ()

    def describe(self):
        return {"model": {"name": "fake"}, "method": self.method, "settings": {}}

    def _text(self, question):
        if self.method == "always" and self.edits:
            return self.edits[-1].target, self.edits[-1].id
        for case in self.edits:
            if question.picture == case.picture and question.prompt in (case.prompt, *case.rephrasings):
                return case.target, case.id
        return f"base {len(question.prompt)}", ""

    def answer(self, questions):
        said = []
        for question in questions:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append((tuple(case.id for case in self.edits), question))
            text, fired = self._text(question)
            decision = Decision(fired, fired, 0.25, 0.5) if self.edits else None
            said.append(Said(text, decision, tuple(map(ord, text)) if self.telling else ()))
        return said

    def spelled(self, answer):
        return tuple(map(ord, answer))

    def decide(self, questions):
        if not self.telling or not self.edits:
            return None
        fired = ["" if self.telling == "lying" else self._text(question)[1] for question in questions]
        return [Decision(one, one, 0.25, 0.5) for one in fired]

    def forced(self, questions, answers):
        found = []
        self.forcings += len(questions)
        for question, answer in zip(questions, answers, strict=True):
            gold = tuple(map(ord, answer))
            text = self._text(question)[0].ljust(len(answer))
            found.append(Forced(gold, tuple(map(ord, text[: len(answer)]))))
        return found


def cases(count=6, kinds=("",)):
    """Cases with every kind of question, each about its own picture."""
    return [
        Case(
            f"case-{n}", f"What is thing {n}?", f"target {n}", Path(f"{n}.png"),
            rephrasings=(f"Name thing {n}.",), pictures=(Path(f"{n}-b.png"),),
            text_locality=(Probe(f"Who leads office {n}?", None, ("Ada",)),),
            picture_locality=(Probe(f"What is thing {n}?", Path(f"{n}-other.png")),),
            specificity=(Probe(f"What colour is thing {n}?", Path(f"{n}.png")),),
            portability=(Probe(f"Who owns thing {n}?", Path(f"{n}.png"), (f"owner {n}",), "1-hop"),),
            kind=kinds[n % len(kinds)], row=n + 1,
        )
        for n in range(count)
    ]  # fmt: skip
