"""Edits out of a bundle, without a trace in what the bundle does."""

from __future__ import annotations

import difflib
import fnmatch
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.bundle.overlap import overlaps
from okedit_cli.bundle.rows import Rows, keep_reference, stack, unstack
from okedit_cli.bundle.sources import get_sources, put_sources, used_sources
from okedit_cli.errors import UsageError


@dataclass(frozen=True)
class Forgotten:
    """An edit that a merge had left out for others, `preferred`, all of which are removed now. A bundle keeps
    of such an edit what it was asked and how far it reached, no value: it cannot come back from there.
    """

    id: str
    answer: str
    preferred: tuple[str, ...]


@dataclass
class RemoveReport:
    """What a removal changed besides the edits it was asked to remove."""

    records: list[Forgotten] = field(default_factory=list)

    @property
    def forgotten(self) -> list[str]:
        """Ids of the records that went."""
        return [one.id for one in self.records]


def matching(bundle: Bundle, patterns: Sequence[str]) -> list[str]:
    """Ids of the bundle's edits, each once: `patterns` are ids, or ids with *, ? and [abc] in them.

    UsageError: a pattern that no id matches. What is an id itself is no pattern.
    """
    ids, found = [fact["id"] for fact in bundle.manifest.facts], {}
    known = set(ids)
    for pattern in patterns:
        wild = pattern not in known and any(mark in pattern for mark in "*?[")
        names = [name for name in ids if fnmatch.fnmatchcase(name, pattern)] if wild else [pattern]
        if not names:
            raise UsageError(
                f"The bundle has no edit whose id matches {pattern!r}.",
                hint="`okedit show` lists the ids of a bundle.",
            )
        found |= dict.fromkeys(names)
    return list(found)


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
    for row in rows.live():
        rows.rename(row, rows.facts[row]["id"], rows.facts[row]["id"])
    manifest = replace(bundle.manifest, extra={}, unknown=[], shard={})
    left = stack(manifest, bundle.edits, [rows], dict(bundle.canary))
    keep_reference(left, [bundle])
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
    freed: dict[int, list[int]] = {}
    held: set[int] = set()
    for i, j in _contradictions(rows, rows.dropped, ~rows.dropped):
        if removed[j]:
            freed.setdefault(i, []).append(j)
        else:
            held.add(i)
    for row in sorted(freed.keys() - held):
        rows.keep[row] = False
        preferred = tuple(rows.facts[j]["id"] for j in sorted(set(freed[row])))
        report.records.append(Forgotten(rows.facts[row]["id"], rows.facts[row]["answer"], preferred))


def _contradictions(rows: Rows, some: torch.Tensor, others: torch.Tensor) -> Iterator[tuple[int, int]]:
    """(i, j) of rows in two masks that would answer the same query, and differently."""
    answers = rows.answers()
    left, right = some.nonzero()[:, 0].tolist(), others.nonzero()[:, 0].tolist()
    for i, j, _, _ in overlaps(rows.side(some), rows.side(others)):
        if answers[left[i]] != answers[right[j]]:
            yield left[i], right[j]
