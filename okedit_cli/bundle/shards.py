"""Parts of one whole: bundles that `okedit edit --shard I/N` makes of one fact file, and how they become one.

Their edits are not judged against each other, as those of one bundle never are: all of them together are the
bundle that one run would have made. Not here: bundles of different origin (merge.py), and which facts a shard
takes (scale/parts.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.manifest import BundleWarning, Manifest
from okedit_cli.bundle.rows import SPACE, Rows, keep_reference, stack, unstack
from okedit_cli.bundle.sources import get_sources, put_sources
from okedit_cli.errors import ModelMismatch, UsageError

CLOSE = 1e-4  # of a space's largest number: machines measure the same space other than that by rounding


def part_of(count: int, shard: tuple[int, int]) -> range:
    """Which of so many facts or cases the I-th of N shards takes: a stretch of them in their order.

    UsageError: there is no such shard.
    """
    index, shards = shard
    if not 1 <= index <= shards:
        raise UsageError(
            f"There is no shard {index} of {shards}.",
            hint="Shards are counted from 1: 1/8 is the first of 8.",
        )
    return range((index - 1) * count // shards, index * count // shards)


def shard_field(whole: str, shards: int, index: int, rows: int) -> dict[str, Any]:
    """What a manifest says of a shard: the `index`-th of so many, from 1, with so many edits; `whole` is the
    same in all of them.
    """
    return {"of": whole, "shards": shards, "parts": [[index, rows]]}


def missing(shard: dict[str, Any]) -> list[int]:
    """Numbers of the shards that a bundle or a result lacks."""
    there = {part[0] if isinstance(part, (list, tuple)) else part for part in shard["parts"]}
    return [number for number in range(1, shard["shards"] + 1) if number not in there]


def of_one_whole(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are shards of the same run."""
    return _is_shard(one) and _is_shard(other) and _whole(one) == _whole(other)


def is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two spaces [.., ..] are one, measured on two machines."""
    return bool(not len(one) or (one - other).abs().max() <= CLOSE * one.abs().max())


def put_together(bundles: Sequence[Bundle], lazy: bool = False) -> list[Bundle]:
    """The bundles, those that are shards of one whole as one, in the place of the last of them. Of a shard
    that is there twice the later stays. Warns of shards that are missing. `lazy` as in merge(), where one is
    left.
    """
    groups: dict[tuple, list[int]] = {}
    for place, bundle in enumerate(bundles):
        if _is_shard(bundle):
            groups.setdefault(_whole(bundle), []).append(place)
    found: list[Bundle | None] = list(bundles)
    for places in groups.values():
        whole = _joined([bundles[place] for place in places], lazy and len(places) == len(bundles))
        for place in places:
            found[place] = None
        found[places[-1]] = whole
        if whole.manifest.shard:
            lost, count = missing(whole.manifest.shard), whole.manifest.shard["shards"]
            words = ", ".join(map(str, lost[:20])) + (", ..." if len(lost) > 20 else "")
            warnings.warn(
                f"{len(lost)} of {count} shards are missing: {words}. Merge them with the rest when they are"
                " there.",
                BundleWarning,
                stacklevel=3,
            )
    return [bundle for bundle in found if bundle is not None]


def joined(parts: Sequence[tuple[Bundle, Sequence[int]]], lazy: bool = False) -> Bundle:
    """Rows of bundles of one run, in this order, as one bundle without a shard field. ModelMismatch: two of
    them were made in different key spaces.
    """
    bundles = [bundle for bundle, _ in parts]
    for bundle in bundles[1:]:
        _check_space(bundles[0], bundle)
    opened = {id(bundle): unstack(bundle) for bundle in bundles}
    rows = []
    for bundle, chosen in parts:
        keep = torch.zeros(len(bundle), dtype=torch.bool)
        keep[list(chosen)] = True
        rows.append(replace(opened[id(bundle)], keep=keep))
    return of_rows(bundles, rows, lazy)


def of_rows(bundles: Sequence[Bundle], rows: Sequence[Rows], lazy: bool) -> Bundle:
    """The rows that were taken from bundles as one bundle, with what all of these know."""
    teller = next((bundle for bundle in bundles if bundle.canary), bundles[0])
    manifest = united([bundle.manifest for bundle in bundles])
    manifest.canary = list(teller.manifest.canary)
    found = stack(manifest, bundles[0].edits, rows, dict(teller.canary), lazy)
    keep_reference(found, bundles)
    put_sources(found, [picture for bundle in bundles for picture in get_sources(bundle).values()])
    return found


def _check_space(one: Bundle, other: Bundle) -> None:
    if one.edits.kind != "codebook":
        return
    for name in SPACE:
        a, b = getattr(one.codebook, name), getattr(other.codebook, name)
        if a.shape != b.shape or not is_close(a.float(), b.float()):
            raise ModelMismatch(
                f"Two shards have keys in different spaces ({name} differs): the machines that made them"
                " measured the picture space otherwise.",
                hint="Make all shards with the same versions and the same kind of device.",
            )


def united(manifests: Sequence[Manifest]) -> Manifest:
    """Base, site and method of the first; settings and versions of all, listed where they differ."""
    first = manifests[0]
    banks = dict.fromkeys(bank for m in manifests for bank in m.bank.split(", ") if bank)
    return Manifest(base=first.base, site=first.site, method=first.method, facts=[], bank=", ".join(banks),
                    settings=_union([m.settings for m in manifests]),
                    versions=_union([m.versions for m in manifests]))  # fmt: skip


def _union(values: Sequence[dict]) -> dict:
    different: list[dict] = []
    for value in values:
        for one in (
            value["merged"] if set(value) == {"merged"} and isinstance(value["merged"], list) else [value]
        ):
            if one not in different:
                different.append(one)
    return different[0] if len(different) == 1 else {"merged": different}


def _joined(bundles: Sequence[Bundle], lazy: bool) -> Bundle:
    """Shards of one whole, ordered; with a shard field where some are missing."""
    found: dict[int, tuple[Bundle, range]] = {}
    for bundle in bundles:
        start = 0
        for index, count in bundle.manifest.shard["parts"]:
            found[index] = bundle, range(start, start + count)
            start += count
    order = sorted(found)
    whole = joined([found[index] for index in order], lazy)
    shard = {**bundles[0].manifest.shard, "parts": [[index, len(found[index][1])] for index in order]}
    whole.manifest.shard = shard if missing(shard) else {}
    return whole


def _whole(bundle: Bundle) -> tuple:
    return bundle.manifest.shard["of"], bundle.manifest.shard["shards"]


def _is_shard(bundle: Bundle) -> bool:
    """Whether the manifest's shard field is what okedit writes, and agrees with the edits; a file from a
    stranger may say anything.
    """
    shard = bundle.manifest.shard
    if not isinstance(shard.get("of"), str) or type(shard.get("shards")) is not int:
        return False
    parts = shard.get("parts")
    if not isinstance(parts, list) or not parts or not 0 < shard["shards"] <= 1_000_000:
        return False
    for part in parts:
        if not (isinstance(part, list) and len(part) == 2 and all(type(n) is int for n in part)):
            return False
        if not 1 <= part[0] <= shard["shards"] or part[1] < 0:
            return False
    return sum(count for _, count in parts) == len(bundle) and not len(bundle.manifest.dropped)
