"""What another strictness would let in, from the distances of a run: nothing is asked again.

A strictness s scales every radius by 1.5 - s (edits/codebook.py). The edit that fired or came nearest
decides; that another one might come first where all reach farther is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from okedit_cli.evaluate.case import METRICS
from okedit_cli.evaluate.records import Record
from okedit_cli.evaluate.result import Result

STEPS = tuple(step / 20 for step in range(21))
AS_FITTED = 0.5
INSIDE, OUTSIDE = ("rel", "t_gen", "i_gen"), ("t_loc", "i_loc", "specificity", "near")


@dataclass(frozen=True)
class Point:
    """Shares, 0 to 1: questions in scope that an edit fires on, and questions outside that none fires on."""

    strictness: float
    reached: float
    left_alone: float


def curve(result: Result, stage: str) -> list[Point]:
    """A point for each of STEPS; none where a method tells no distances, or one side has no questions."""
    radii = 1.5 - _of_the_run(result)
    sides = [
        [
            reach * radii
            for record in result.records
            if record.stage == stage and record.metric in metrics and not record.contested
            if (reach := reach_of(record)) is not None
        ]
        for metrics in (INSIDE, OUTSIDE)
    ]
    if not all(sides):
        return []
    inside, outside = sides
    return [
        Point(
            step,
            sum(reach <= 1.5 - step for reach in inside) / len(inside),
            sum(reach > 1.5 - step for reach in outside) / len(outside),
        )
        for step in STEPS
    ]


def reach_of(record: Record) -> float | None:
    """The larger of distance / radius over the channels; None where the run tells no distances.

    In scope only the case's own edit counts: where another fired, the question is out of reach. A view of
    an edit's own picture, answered from beyond its radius, counts as at the border.
    """
    found = record.decision
    if found is None or not found.nearest:
        return None
    if METRICS[record.metric].positive and found.nearest != record.case:
        return float("inf")
    if not found.fired and found.reach <= 1.0:  # rejected by a stage that tells no distance
        return float("inf")
    return min(found.reach, 1.0) if found.fired else found.reach


def _of_the_run(result: Result) -> float:
    found = dict(result.about.get("settings", {})).get("strictness")
    return float(found) if isinstance(found, (int, float)) else AS_FITTED
