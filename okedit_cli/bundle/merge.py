"""Several bundles into one. Works on codebooks and encoders alone, without the base model.

Bundles are taken in the order given; a later one is newer. Duplicates by content are kept once. Two edits
of different bundles conflict when they would answer the same query (overlap.py) and their answers differ:
`newest` and `first` drop one of them, `error` refuses. Edits of one bundle are not judged against each
other again.

Shards of one whole (bundle/shards.py) are put together first, and are then as one bundle.

Merging is associative because nothing that decides is forgotten: a dropped edit leaves its scope behind
(`dropped`), a renamed one its first id (`renamed_from`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.fit import obstacle
from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.bundle.overlap import overlaps
from okedit_cli.bundle.rows import CHANNELS, SPACE, Rows, content, unstack
from okedit_cli.bundle.shards import is_close, of_one_whole, of_rows, put_together
from okedit_cli.errors import ModelMismatch, OkeditError, UsageError

Policy = Literal["newest", "first", "error"]
SHOWN = 1000  # conflicts kept for the table beyond one for each edit that was dropped


class MergeConflict(OkeditError):
    """Edits of two bundles contradict each other, and the policy does not say which to keep."""

    report: MergeReport | None = None


@dataclass(frozen=True)
class Conflict:
    """Two edits that would answer the same prompt differently; the first is of the earlier bundle."""

    first: str
    second: str
    answers: tuple[str, str]
    distances: tuple[float, float]  # picture, question
    radii: tuple[
        tuple[float, float], tuple[float, float]
    ]  # of the first and of the second: picture, question
    action: str


@dataclass
class MergeReport:
    """What a merge did; every edit that is not in the result as it was is named here."""

    conflicts: list[Conflict] = field(default_factory=list)
    total: int = 0  # conflicts found, of which `conflicts` may show a part
    duplicates: list[tuple[str, str]] = field(
        default_factory=list
    )  # id that was left out, id that stands for it
    renamed: list[tuple[str, str]] = field(default_factory=list)  # old id, new id
    dropped: list[str] = field(default_factory=list)


def merge(
    bundles: Sequence[Bundle],
    *,
    on_conflict: Policy = "newest",
    names: Sequence[str] | None = None,
    lazy: bool = False,
) -> tuple[Bundle, MergeReport]:
    """Merge bundles of one base model and one key space; returns (Bundle, MergeReport).

    ModelMismatch when they cannot stand beside each other; MergeConflict under `error`. `names` are the
    bundles' names for messages; `lazy` leaves the values in the files they are in, for a result that is
    only saved.
    """
    if on_conflict not in get_args(Policy):
        raise UsageError(f"on-conflict is {on_conflict!r}, expected one of {', '.join(get_args(Policy))}.")
    if not bundles:
        raise UsageError("There is nothing to merge.", hint="Name at least one bundle.")
    names = list(names or (f"bundle {number}" for number in range(1, len(bundles) + 1)))
    report = MergeReport()
    for bundle, name in zip(bundles[1:], names[1:], strict=True):
        _check_mates(bundles[0], bundle, names[0], name)
    bundles = put_together(bundles, lazy)
    if len(bundles) == 1:
        return bundles[0], report
    rows = [unstack(bundle) for bundle in bundles]
    _leave_out_duplicates(rows, on_conflict, report)
    _settle(rows, on_conflict, report)
    _name(rows, report)
    merged = of_rows(bundles, rows, lazy)
    unknown = dict.fromkeys(name for bundle in bundles for name in bundle.manifest.unknown)
    if unknown:
        warnings.warn(
            f"A merge leaves out what this okedit does not know: {', '.join(unknown)}.",
            BundleWarning,
            stacklevel=2,
        )
    return merged, report


def _check_mates(one: Bundle, other: Bundle, name: str, other_name: str) -> None:
    where = f"{name} and {other_name} cannot be merged"
    hint = "Make the edits of both with the same model, layer and method."
    if reason := obstacle(one.manifest.base, other.manifest.base):
        raise ModelMismatch(f"{where}: {reason}.", hint=hint)
    ours, theirs = (
        {"method": bundle.manifest.method, **{f"site's {k}": v for k, v in bundle.manifest.site.items()}}
        for bundle in (one, other)
    )
    for what in (*ours, *theirs):
        if ours.get(what) != theirs.get(what):
            values = f"{str(ours.get(what))[:80]} in one and {str(theirs.get(what))[:80]} in the other"
            raise ModelMismatch(f"{where}: the {what[:80]} is {values}.", hint=hint)
    if one.edits.kind == other.edits.kind == "memory":
        for tensor in ("keys", "picture_keys"):
            a, b = (getattr(bundle.edits, tensor).shape[1] for bundle in (one, other))
            if a != b:
                raise ModelMismatch(
                    f"{where}: {tensor} have size {a} in one and {b} in the other.", hint=hint
                )
        return
    for tensor in SPACE:
        a, b = getattr(one.codebook, tensor), getattr(other.codebook, tensor)
        same = is_close if of_one_whole(one, other) else torch.equal
        if a.shape != b.shape or not same(a.float(), b.float()):
            raise ModelMismatch(f"{where}: their keys lie in different spaces ({tensor} differs).", hint=hint)
    a, b = one.codebook.value_bias.shape[1], other.codebook.value_bias.shape[1]
    if a != b:
        raise ModelMismatch(f"{where}: values have size {a} in one and {b} in the other.", hint=hint)


def _leave_out_duplicates(rows: list[Rows], policy: Policy, report: MergeReport) -> None:
    """Equal edits in several bundles: the newest stays, under `first` the earliest."""
    places: dict[tuple, list[tuple[int, int]]] = {}
    for source, part in enumerate(rows):
        for row, mark in enumerate(part.marks()):
            places.setdefault(mark, []).append((source, row))
    for found in places.values():
        if len({source for source, _ in found}) < 2:
            continue
        groups: dict[str, list[tuple[int, int]]] = {}
        for source, row in found:
            groups.setdefault(content(rows[source], row), []).append((source, row))
        for equal in groups.values():
            kept = (min if policy == "first" else max)(source for source, _ in equal)
            stand_in = next(rows[source].facts[row]["id"] for source, row in equal if source == kept)
            for source, row in equal:
                if source != kept:
                    rows[source].keep[row] = False
                    report.duplicates.append((rows[source].facts[row]["id"], stand_in))


def _settle(rows: list[Rows], policy: Policy, report: MergeReport) -> None:
    """Find conflicts between bundles and do what the policy says."""
    answers = [part.answers() for part in rows]
    # what is left out conflicts with nothing, nor does a record where nothing is dropped
    judged = [part.keep & ~part.dropped if policy == "error" else part.keep for part in rows]
    sides = [part.side(mask) for part, mask in zip(rows, judged, strict=True)]
    places = [mask.nonzero()[:, 0].tolist() for mask in judged]
    losers: list[set[int]] = [set() for _ in rows]
    for early in range(len(rows)):
        for late in range(early + 1, len(rows)):
            for i, j, *distance in overlaps(sides[early], sides[late]):
                pair = (early, places[early][i]), (late, places[late][j])
                if answers[early][pair[0][1]] == answers[late][pair[1][1]]:
                    continue
                report.total += 1
                lost = pair[1] if policy == "first" else pair[0]
                new = (
                    policy != "error"
                    and lost[1] not in losers[lost[0]]
                    and not rows[lost[0]].dropped[lost[1]]
                )
                if new:
                    losers[lost[0]].add(lost[1])
                if new or len(report.conflicts) < SHOWN:
                    report.conflicts.append(_told(rows, *pair, distance, policy))
    if policy == "error" and report.conflicts:
        first = report.conflicts[0]
        error = MergeConflict(
            f"{report.total} pairs of facts contradict each other, the first is {first.first!r} "
            f"({first.answers[0]!r}) and {first.second!r} ({first.answers[1]!r}).",
            hint="Merge with --on-conflict newest or first, or `okedit remove` one of them.",
        )
        error.report = report
        raise error
    for source, lost in enumerate(losers):
        for row in sorted(lost):
            part = rows[source]
            if not part.dropped[row]:
                report.dropped.append(part.facts[row]["id"])
                part.drop(row)


def _told(rows, one, other, distance: Sequence[float], policy: Policy) -> Conflict:
    facts = [rows[source].facts[row] for source, row in (one, other)]
    radii = tuple(tuple(float(rows[source].radius[c][row]) for c in CHANNELS) for source, row in (one, other))
    action = {"newest": f"kept {facts[1]['id']}", "first": f"kept {facts[0]['id']}", "error": "refused"}[
        policy
    ]
    return Conflict(facts[0]["id"], facts[1]["id"], (facts[0]["answer"], facts[1]["answer"]),
                    tuple(distance), radii, action)  # fmt: skip


def _name(rows: list[Rows], report: MergeReport) -> None:
    """Give every edit its own id: later ones get -2, -3 ...; depends on first ids and order alone."""
    live = [(part, row) for part in rows for row in part.live()]
    firsts = [part.facts[row].get("renamed_from") or part.facts[row]["id"] for part, row in live]
    taken = set(firsts)
    seen: dict[str, int] = {}
    for (part, row), first in zip(live, firsts, strict=True):
        fact, number = part.facts[row], seen.get(first, 0) + 1
        name = first
        while number > 1 and (name := f"{first}-{number}") in taken:
            number += 1
        seen[first] = number
        taken.add(name)
        if name != fact["id"]:
            report.renamed.append((fact["id"], name))
        part.rename(row, name, first)
