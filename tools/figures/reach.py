"""How far one edit reaches, as a picture: `python -m tools.figures.reach RESULT.json OUT.svg [--case ID]`.

RESULT.json is what `okedit eval --out` wrote. Every question of the case stands where its decision was taken:
to the right by its picture's distance in picture radii, upwards by its question's in question radii, so that
the edit reaches from 0 to 1 on both. What is farther than two radii, or has no picture, stands on the border.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from okedit_cli.errors import OkeditError, UsageError
from okedit_cli.evaluate.records import Decision, Record
from okedit_cli.evaluate.result import Result, write
from tools.figures.svg import drawn

FAR = 2.0  # radii: the border of the plane
# (metric, cell) -> what such a question is to the edit; "" stands for any cell
GROUPS = {
    ("rel", ""): "own question",
    ("t_gen", ""): "other wordings",
    ("i_gen", "view"): "views of the picture",
    ("i_gen", "artist"): "another artist's drawing",
    ("i_loc", ""): "near thing",
    ("specificity", ""): "other questions about the picture",
    ("near", "edit/other"): "other questions about the picture",
    ("near", ""): "any other picture, or none",
    ("t_loc", ""): "any other picture, or none",
}


@dataclass(frozen=True)
class Point:
    """One question: its group, distances in radii (0 to FAR), whether the edit fired, and its words."""

    group: str
    picture: float
    question: float
    fired: bool
    words: str


def main(words: Sequence[str] | None = None) -> int:
    """Draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.figures.reach", description=__doc__.split(":")[0])
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument("--case", metavar="ID", help="[default: the one with the most to show]")
    given = parser.parse_args(words)
    try:
        result = Result.load(given.result)
        case = given.case or richest(result)
        points, elsewhere = points_of(result, case)
        about = result.cases.get(case, {})
        said = about.get("prompt", case), about.get("target", "")
        write(given.out, drawn(points, elsewhere, *said, FAR))
    except OkeditError as error:
        print(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    note = f"; {elsewhere} nearer to another edit are left out" if elsewhere else ""
    print(f"{case}: {len(points)} questions{note}", file=sys.stderr)
    print(given.out)
    return 0


def points_of(result: Result, case: str) -> tuple[list[Point], int]:
    """The case's questions of the last stage, and how many were judged by another edit that lies nearer.
    UsageError when there is nothing to draw.
    """
    mine = [record for record in result.records if record.case == case]
    if not mine:
        known = ", ".join(list(result.cases)[:3])
        raise UsageError(f"The result has no case {case!r}.", hint=f"It has {known} and so on.")
    mine = [record for record in mine if record.stage == mine[-1].stage]
    points, elsewhere = [], 0
    for record in mine:
        group = group_of(record)
        if group is None or record.decision is None:
            continue
        if record.decision.nearest != case:
            elsewhere += 1
            continue
        points.append(Point(group, *place(record.decision), record.decision.fired == case, record.prompt))
    if not points:
        raise UsageError(f"{case}: no question was judged by this edit.", hint="Take another with --case.")
    return points, elsewhere


def group_of(record: Record) -> str | None:
    """What a question is to its edit; None for what follows from the edit or was given with it."""
    return GROUPS.get((record.metric, record.cell)) or GROUPS.get((record.metric, ""))


def place(decision: Decision) -> tuple[float, float]:
    """Distances of picture and question in radii, at most FAR."""
    return min(decision.in_radii("picture"), FAR), min(decision.in_radii("question"), FAR)


def richest(result: Result) -> str:
    """The case that shows the most kinds of questions, and of those the most questions; the first of them."""
    best, case = (0, 0), ""
    for name in dict.fromkeys(record.case for record in result.records):
        try:
            points, _ = points_of(result, name)
        except UsageError:
            continue
        size = len({point.group for point in points}), len(points)
        if size > best:
            best, case = size, name
    if not case:
        raise UsageError("The result tells no distances.", hint="Evaluate a method that decides by distance.")
    return case


if __name__ == "__main__":
    sys.exit(main())
