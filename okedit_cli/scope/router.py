"""Route a query: retrieve candidates, classify, verify. The whole decision is on this page.

1. Retriever (retriever.py): the nearest edits by their keys, in two channels, picture and text.
2. Classifier (classifier.py): does the query ask for what the fact's prompt asks for, for what follows from
   it, or neither?
3. Verifier (verifier.py): where a fact is about one picture, is the query's picture a view of it?

Of the edits that pass all stages the one answers whose picture is nearest, then the one of which the
classifier is surest; where bundles contradict each other, the newest. The base model is never asked. Each
stage can be left out (STAGES), to measure what it is worth.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from okedit_cli.errors import UsageError
from okedit_cli.samples.wording import normal
from okedit_cli.scope.activation import Activation
from okedit_cli.scope.calibration import calibration
from okedit_cli.scope.classifier import contradict, judge, read_ahead
from okedit_cli.scope.retriever import Retriever
from okedit_cli.scope.verdict import Candidate, Verdict
from okedit_cli.scope.verifier import Verifier

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.scope.query import Query

STRICTNESS = 0.5  # as fitted
STAGES = ("classifier", "verifier", "context")
NOT_A_VIEW = "the picture is no view of the one that the fact is about"
OUTSIDE = "the picture lies outside the picture radius"
BEYOND = "the question lies outside the question radius"
OTHER = "the question asks for something else"
FOLLOWS = "the question asks for what follows from the fact"
CROWDED = "of several facts that the question lies near it is not surely this one"
NO_PICTURE = "the fact is about a picture, and there is none"


class Router:
    """Bundles as one scope, as far as their edits have keys. `without` names STAGES that are left out."""

    def __init__(
        self, bundles: Sequence[Bundle], strictness: Sequence[float], without: Collection[str] = ()
    ) -> None:
        unknown = sorted(set(without) - {*STAGES})
        if unknown:
            raise UsageError(
                f"There is no stage {unknown[0]!r} to leave out.", hint=f"Stages: {', '.join(STAGES)}."
            )
        self.bundles, self.without = list(bundles), frozenset(without)
        kinds = {"codebook": Retriever, "delta": Activation}  # a memory's facts are put into prompts
        self.retrievers = {
            n: kinds[b.edits.kind](b, n, s)
            for n, (b, s) in enumerate(zip(bundles, strictness, strict=True))
            if b.edits.kind in kinds and b.edits.gated
        }
        self.verifier = Verifier()

    @property
    def scoped(self) -> list[Bundle]:
        """The codebooks among the bundles: their edits are values of their own."""
        return [one for n, one in enumerate(self.bundles) if isinstance(self.retrievers.get(n), Retriever)]

    def route(self, query: Query) -> Verdict:
        """The verdict on one query. It depends on the query and the attached edits alone."""
        found = [one for retriever in self.retrievers.values() for one in retriever.retrieve(query)]
        read_ahead([self._fact(one) for one in found if self._is_judged(one)], query.text)
        classified = self._surer([self._classified(one, query) for one in found])
        judged = self._let_in([self._verified(one, query) for one in classified], query)
        judged.sort(key=_order)
        hit, overruled = self._newest([one for one in judged if not one.rejection])
        nearest = hit or (judged[0] if judged else None)
        context = None if hit else self._context(judged, query)
        return Verdict(hit, nearest, context, tuple(judged), overruled)

    def _newest(self, hits: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None]:
        """The edit that answers: the best, or of those that contradict it the one of the newest bundle, which
        is what a merge keeps; and the older one that it overrules.
        """
        if not hits:
            return None, None
        best = hits[0]
        against = [
            one
            for one in hits[1:]
            if one.number != best.number
            and math.isinf(one.picture_radius) == math.isinf(best.picture_radius)
            and contradict(self._fact(best), self._fact(one))
        ]
        by_age = sorted([best, *against], key=lambda one: one.number)
        return by_age[-1], by_age[-2] if against else None

    def _fact(self, candidate: Candidate) -> dict:
        return self.bundles[candidate.number].manifest.facts[candidate.row]

    def _is_judged(self, candidate: Candidate) -> bool:
        """Whether the classifier is asked: not of an open channel, which answers whatever is asked."""
        judged = self.retrievers[candidate.number].judged and "classifier" not in self.without
        return judged and candidate.question_ratio <= 1 and not math.isinf(candidate.question_radius)

    def _classified(self, candidate: Candidate, query: Query) -> Candidate:
        """The candidate with the classifier's label, score and, where it does not answer, the reason."""
        if candidate.question_ratio > 1:
            return candidate.rejected(BEYOND)
        if not self._is_judged(candidate):
            return candidate
        found = judge(self._fact(candidate), query.text)
        candidate = replace(
            candidate,
            label=found.label,
            question_distance=found.distance,
            question_radius=1.5 - self.retrievers[candidate.number].strictness,
        )
        if candidate.question_ratio <= 1:
            if found.label == "answers":
                return candidate
            # another class is likelier still
            candidate = replace(candidate, question_distance=candidate.question_radius * 1.01)
        return candidate.rejected(found.reason or (FOLLOWS if found.label == "follows" else OTHER))

    def _surer(self, classified: Sequence[Candidate]) -> list[Candidate]:
        """Of edits in words alone, the more a question lies near, the surer the classifier must be of one.

        n edits that are plausible each have the n-th part of one's chance to be meant: log n on the log odds.
        """
        borders = calibration()
        near = math.exp(borders.plausible / borders.steep)
        words = [one for one in classified if one.picture_radius == float("inf") and one.label]
        # the same question in several bundles is one edit
        count = len({normal(str(self._fact(one)["prompt"])) for one in words if one.question_ratio <= near})
        surer = max(1, count) ** (-1 / borders.steep)
        return [
            one.rejected(CROWDED)
            if one in words and not one.rejection and one.question_ratio > surer
            else one
            for one in classified
        ]

    def _verified(self, candidate: Candidate, query: Query) -> Candidate:
        """The candidate with whether its picture is the query's, and, where that is wanted and not so, the
        reason.
        """
        if candidate.picture_radius == float("inf") or (candidate.rejection and candidate.label != "follows"):
            return candidate
        if query.picture is None:
            return candidate.rejected(NO_PICTURE)
        if candidate.picture_ratio > 1:
            return candidate.rejected(OUTSIDE)
        if "verifier" in self.without or self._fact(candidate).get("reach") != "picture":
            return candidate
        candidate = self._compared(candidate, query)
        return candidate.rejected(NOT_A_VIEW) if candidate.view is False else candidate

    def _compared(self, candidate: Candidate, query: Query, surely: bool = False) -> Candidate:
        """The candidate with what the verifier says of the query's picture."""
        bundle = self.bundles[candidate.number]
        return replace(candidate, view=self.verifier.is_view(bundle, candidate.row, query.picture, surely))

    def _let_in(self, judged: list[Candidate], query: Query) -> list[Candidate]:
        """Where no edit's radius holds the query's picture: the nearest edit of which it surely is a view all
        the same.
        """
        pictured = [one for one in judged if one.picture_radius != float("inf")]
        if "verifier" in self.without or any(not one.rejection for one in pictured):
            return judged
        outside = sorted((one for one in pictured if one.rejection == OUTSIDE), key=_order)
        for one in outside:
            found = self._compared(one, query, surely=True)
            if found.view:
                found = found.rejected(FOLLOWS if one.label == "follows" else "")
            judged[judged.index(one)] = found
            if found.view:
                break
        return judged

    def _context(self, judged: Sequence[Candidate], query: Query) -> Candidate | None:
        """The candidate whose note the model is given: its answer bears on what is asked, and its picture
        is the query's. A note is read from a picture's place, so a query without one is given none.
        """
        if "context" in self.without or query.picture is None:
            return None
        for one in judged:
            if one.label == "follows" and one.rejection == FOLLOWS and self._fact(one).get("note"):
                return one
        return None


def _order(candidate: Candidate) -> tuple:
    """Best first: edits that answer, then by picture (a view counts as the nearest), then by question."""
    picture = 0.0 if candidate.view else min(candidate.picture_ratio, 1e9)
    about_picture = candidate.picture_radius != float("inf")
    return (
        bool(candidate.rejection), not about_picture if not candidate.rejection else False, round(picture, 3),
        min(candidate.question_ratio, 1e9), -candidate.number, candidate.row,
    )  # fmt: skip


def strictness_of(bundle: Bundle) -> float:
    """How strict a bundle was made to be: 0.5 is as fitted."""
    found = bundle.manifest.settings.get("strictness", STRICTNESS)
    return float(found) if isinstance(found, (int, float)) and 0 <= found <= 1 else STRICTNESS
