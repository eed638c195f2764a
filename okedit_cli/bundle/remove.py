"""Edits out of a bundle, without a trace in what the bundle does: what they had cut short grows back."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.bundle.overlap import overlaps
from okedit_cli.bundle.rows import CHANNELS, Rows, halfway, stack, unstack
from okedit_cli.bundle.sources import get_sources, put_sources, used_sources
from okedit_cli.errors import UsageError


@dataclass
class RemoveReport:
    """What a removal changed besides the edits it was asked to remove."""

    regrown: list[str] = field(default_factory=list)  # edits that reach farther again
    forgotten: list[str] = field(
        default_factory=list
    )  # records of dropped edits that only removed ones contradicted


def remove(bundle: Bundle, ids: Sequence[str]) -> tuple[Bundle, RemoveReport]:
    """The bundle without some of its edits, and what else changed; UsageError names an unknown id."""
    places = {fact["id"]: row for row, fact in enumerate(bundle.manifest.facts)}
    for name in ids:
        if name not in places:
            close = difflib.get_close_matches(name, places, 1)
            hint = f"Did you mean {close[0]!r}?" if close else "`okedit show` lists the ids of a bundle."
            raise UsageError(f"The bundle has no edit {name!r}.", hint=hint)
    rows, report = unstack(bundle), RemoveReport()
    removed = torch.zeros(len(rows.facts), dtype=torch.bool)
    removed[[places[name] for name in ids]] = True
    _forget(rows, removed, report)
    rows.keep &= ~removed
    _grow_back(rows, report)
    for row in rows.live():
        rows.rename(row, rows.facts[row]["id"], rows.facts[row]["id"])
    left = stack(replace(bundle.manifest, extra={}, unknown=[]), bundle.codebook, [rows], dict(bundle.canary))
    used = used_sources(left.manifest.facts)
    put_sources(left, [picture for name, picture in get_sources(bundle).items() if name in used])
    if bundle.manifest.unknown:
        unknown = ", ".join(bundle.manifest.unknown)
        warnings.warn(
            f"Removing leaves out what okedit does not know: {unknown}.", BundleWarning, stacklevel=2
        )
    return left, report


def _forget(rows: Rows, removed: torch.Tensor, report: RemoveReport) -> None:
    """A dropped edit's record goes with the edits that contradicted it, unless one that stays does so too."""
    if not rows.dropped.any():
        return
    freed, held = torch.zeros(2, len(rows.facts), dtype=torch.bool)
    for i, j, _ in _contradictions(rows, rows.dropped, ~rows.dropped):
        freed[i[removed[j]]] = True
        held[i[~removed[j]]] = True
    gone = freed & ~held
    rows.keep &= ~gone
    report.forgotten = [rows.facts[row]["id"] for row in gone.nonzero()[:, 0].tolist()]


def _grow_back(rows: Rows, report: RemoveReport) -> None:
    """Radii that a merge has cut return to what the edits that are left allow; none shrinks."""
    live = rows.keep & ~rows.dropped
    shrunk = live & torch.stack([rows.radius[c] < rows.reach[c] for c in CHANNELS]).any(0)
    if not shrunk.any():
        return
    before = dict(rows.radius)
    rows.radius = {c: torch.where(shrunk, rows.reach[c], before[c]) for c in CHANNELS}
    for i, j, distance in _contradictions(rows, shrunk, live):
        channel, half, usable = halfway(rows, i, rows, j, distance)
        for number, name in enumerate(CHANNELS):
            some = usable & (channel == number)
            rows.cut(name, i[some], half[some])
    for c in CHANNELS:
        rows.radius[c] = torch.maximum(rows.radius[c], before[c])
    grown = torch.stack([rows.radius[c] > before[c] for c in CHANNELS]).any(0) & live
    report.regrown = [rows.facts[row]["id"] for row in grown.nonzero()[:, 0].tolist()]


def _contradictions(
    rows: Rows, some: torch.Tensor, others: torch.Tensor
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Blocks of (i, j, distance) of rows in two masks whose scopes as fitted meet and answers differ."""
    codes: dict[str, int] = {}
    answers = torch.tensor([codes.setdefault(answer, len(codes)) for answer in rows.answers()])
    left, right = some.nonzero()[:, 0], others.nonzero()[:, 0]
    for i, j, distance in overlaps(rows.scopes(some), rows.scopes(others)):
        i, j = left[i], right[j]
        differ = answers[i] != answers[j]
        i, j, distance = i[differ], j[differ], distance[:, differ]
        meet = ~rows.apart(i, rows, j)
        yield i[meet], j[meet], distance[:, meet]
