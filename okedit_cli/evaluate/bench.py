"""The seam between an evaluation and a model: who answers, before and after which edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from okedit_cli.evaluate.case import Case
from okedit_cli.evaluate.records import Decision

Progress = Callable[[str, int, int], None]


class Question(NamedTuple):
    """What is asked: a prompt, about a picture or about none."""

    prompt: str
    picture: Path | None = None


@dataclass(frozen=True)
class Said:
    """A generated answer, what the scope decided (None: nothing was attached), and the tokens if known.

    `reused`: not asked, since no edit fires on the question; the unedited model's answer stands.
    """

    text: str
    decision: Decision | None = None
    ids: tuple[int, ...] = ()
    reused: bool = False


@dataclass(frozen=True)
class Forced:
    """Teacher forcing of one answer: the answer's token ids, and the top-1 id before each of them."""

    gold: tuple[int, ...]
    top: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The share of the answer's tokens that are top-1."""
        return _agreement(self.gold, self.top)

    def agreement(self, other: Forced) -> float:
        """The share of positions where both have the same top-1."""
        return _agreement(self.top, other.top)


def _agreement(one: Sequence[int], two: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(one, two, strict=True)) / len(one) if one else 1.0


class Answerer(Protocol):
    """A model as it is at the moment. Answers come in the order asked and do not depend on who asks along."""

    def answer(self, questions: Sequence[Question]) -> list[Said]:
        """A generated answer to each question."""
        ...

    def forced(self, questions: Sequence[Question], answers: Sequence[str]) -> list[Forced]:
        """Teacher forcing of one answer to each question."""
        ...

    def spelled(self, answer: str) -> tuple[int, ...]:
        """The token ids that teacher forcing of an answer takes."""
        ...

    def decide(self, questions: Sequence[Question]) -> list[Decision] | None:
        """What the scope decides for each question, without an answer.

        Where it lets nothing fire the answer is the unedited model's. None: only answers tell.
        """
        ...


class Bench(Protocol):
    """A model and a method. Nothing of one block is left in the next.

    `store` is set to a folder for what a run that was stopped need not compute again.
    """

    store: Path | None

    def plain(self) -> AbstractContextManager[Answerer]:
        """The unedited model."""
        ...

    def edited(self, cases: Sequence[Case], within: Sequence[Case]) -> AbstractContextManager[Answerer]:
        """The model with the edits of these cases and no others.

        `within` holds the cases and those that later stages add, in order: a method whose edits do not
        depend on later ones may fit them all at once.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What identifies model, method and settings: plain JSON, no paths."""
        ...


class Plain:
    """The method that does nothing, over any bench: the pre-edit rate, and locality 100."""

    store: Path | None = None  # nothing is computed

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def plain(self) -> AbstractContextManager[Answerer]:
        """The unedited model."""
        return self._bench.plain()

    def edited(self, cases: Sequence[Case], within: Sequence[Case]) -> AbstractContextManager[Answerer]:
        """The unedited model as well."""
        return self._bench.plain()

    def describe(self) -> dict[str, Any]:
        """As the bench, with the method "none" and of the settings how answers are generated."""
        words = self._bench.describe()
        kept = {name: value for name, value in words["settings"].items() if name == "max_tokens"}
        return {**words, "method": "none", "settings": kept}
