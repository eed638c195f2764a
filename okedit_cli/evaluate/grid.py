"""Near negatives from the data set itself: each case's question on another case's picture, and the other way.

    none/edit    the edit's question without a picture
    other/edit   the edit's question on the picture of another case
    edit/other   another case's question on the edit's picture
    other/other  another case's question on its own picture

Where the data set tells of pictures that no case edits, and of questions that ask something else about a
picture, the other picture and the other question are those: another case's may ask the same in other words.

The partner of a case is the next one in an order drawn by the seed that has another picture and another
target, of the same kind where there is one, so that it does not depend on the order of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.samples.wording import normal

_LOOKED_AT = 50  # partners tried before a case goes without


def in_order(cases: Sequence[Case], seed: int = 0) -> list[Case]:
    """Cases in an order that the seed and their ids alone decide."""

    def place(case: Case) -> tuple[bytes, str]:
        name = f"{seed}:{case.id}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(name).digest(), case.id

    return sorted(cases, key=place)


def with_grid(cases: Sequence[Case], seed: int = 0) -> list[Case]:
    """Cases, each with its cells; those that come with cells of their own, or are text alone, as they are."""
    ring = in_order([case for case in cases if case.picture is not None], seed)
    place = {case.id: number for number, case in enumerate(ring)}
    return [
        case if case.near or case.picture is None else replace(case, near=_cells(case, ring, place[case.id]))
        for case in cases
    ]


def _cells(case: Case, ring: Sequence[Case], place: int) -> tuple[Probe, ...]:
    cells = [Probe(case.prompt, None, (), "none/edit")]
    around = [ring[(place + step) % len(ring)] for step in range(1, min(len(ring), _LOOKED_AT))]
    fitting = [other for other in around if other.picture != case.picture and other.target != case.target]
    # what the edit is to reach is no other picture, whatever the data set shows elsewhere
    own = {case.picture, *case.pictures, *case.train.pictures}
    strangers = [other for other in fitting if _shown(other) not in own]
    other = next((one for one in strangers if one.kind == case.kind), next(iter(strangers), None))
    if other is not None:
        shown = _shown(other)
        strange = other.specificity[0].prompt if other.specificity else other.prompt
        cells.append(Probe(case.prompt, shown, (), "other/edit"))
        cells.append(Probe(strange, shown, (), "other/other"))
    # a question that means the same as the edit's would be a positive
    asked = {normal(case.prompt), *map(normal, case.rephrasings), *map(normal, case.train.rephrasings)}
    strange = next((text for one in fitting for text in _others(one) if normal(text) not in asked), None)
    if strange is not None:
        cells.append(Probe(strange, case.picture, (), "edit/other"))
    return tuple(cells)


def _shown(case: Case) -> Path | None:
    """A picture that the case does not edit; its own where it has no other."""
    return case.picture_locality[0].picture if case.picture_locality else case.picture


def _others(case: Case) -> list[str]:
    """Questions of a case that are not its edit's; its own where it has no other."""
    return [probe.prompt for probe in case.specificity] or [case.prompt]
