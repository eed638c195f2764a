"""What a router says of a query: which edit answers, which came nearest, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle


@dataclass(frozen=True)
class Candidate:
    """An edit that a query comes near, with what each stage found.

    Picture: distance and radius in the image encoder's space (radius inf: the edit asks for no picture).
    Question: the classifier's distance from ANSWERS and the border, 1 as calibrated; for methods without a
    classifier, distance and radius in the key space. `rejection` is "" for an edit that answers.
    """

    edit_id: str
    bundle: str = field(compare=False)  # the file's name, or which of those attached: for people
    number: int  # its place among those attached
    row: int
    picture_distance: float
    picture_radius: float
    question_distance: float
    question_radius: float
    label: str = ""  # "answers", "follows", "other"; "" where no classifier judged
    view: bool | None = None  # whether the picture is a view of the edit's own; None: not compared
    rejection: str = ""

    @classmethod
    def of(cls, bundle: Bundle, number: int, row: int, **found) -> Candidate:
        """The edit in a row of the bundle that is `number` among those attached."""
        fact = bundle.manifest.facts[row]
        return cls(fact["id"], bundle.name or f"bundle {number + 1}", number, row, **found)

    @property
    def picture_ratio(self) -> float:
        """Distance / radius in the picture channel: 0 where it is open, inf where it is closed."""
        return ratio(self.picture_distance, self.picture_radius)

    @property
    def question_ratio(self) -> float:
        """Distance / radius in the question channel."""
        return ratio(self.question_distance, self.question_radius)

    @property
    def reach(self) -> float:
        """The larger of both ratios."""
        return max(self.picture_ratio, self.question_ratio)

    def rejected(self, reason: str) -> Candidate:
        """The same with the reason why it does not answer."""
        return replace(self, rejection=reason)


@dataclass(frozen=True)
class Verdict:
    """What was decided for one query.

    `hit`: the edit that answers. `nearest`: that, or the one that came nearest. `context`: no edit answers,
    but the answer follows from this one, so the model is given its note. `candidates`: all that were
    judged, best first. `overruled`: an edit of an older bundle that contradicts the hit and would answer.
    `picture`: of a prompt with several pictures, the number of the one that was judged, from 0.
    """

    hit: Candidate | None = None
    nearest: Candidate | None = None
    context: Candidate | None = None
    candidates: tuple[Candidate, ...] = ()
    overruled: Candidate | None = None
    picture: int | None = None

    @property
    def rejection(self) -> str:
        """Why the nearest edit does not answer; "" where it does, or there is none."""
        return self.nearest.rejection if self.hit is None and self.nearest is not None else ""


def best_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Of the verdicts on one question about each of several pictures, that of an edit that answers, the
    nearest first; else of one that gives context; else the first.
    """
    if len(verdicts) == 1:
        return verdicts[0]

    def order(number: int) -> tuple:
        found = verdicts[number]
        distance = found.nearest.picture_ratio if found.nearest else float("inf")
        return found.hit is None, found.context is None, distance, number

    best = min(range(len(verdicts)), key=order)
    return replace(verdicts[best], picture=best)


def ratio(distance: float, radius: float) -> float:
    """Distance in radii."""
    if radius == float("inf"):
        return 0.0
    return distance / radius if radius > 0 else float("inf")
