"""Shards of an evaluation, `okedit eval --shard I/N`, put together to the result of one run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.bundle.shards import missing
from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate.result import Result, same_evaluation


def shard_words(index: int, shards: int) -> dict[str, Any]:
    """What a result says of a shard, the `index`-th of so many, from 1."""
    return {"of": shards, "parts": [index]}


def merged(results: Sequence[Result], names: Sequence[str]) -> Result:
    """One result of shards of one evaluation; of a shard that is there twice the later stays. Warns of those
    that are missing. InvalidFacts: a result that is no shard, or one of another evaluation.
    """
    first, found = results[0], {}
    for result, name in zip(results, names, strict=True):
        shard = result.about.get("shard")
        if not _is_shard(shard):
            raise InvalidFacts(
                f"{name} is a whole evaluation, expected shards of one, made with --shard.",
                hint="`okedit eval --from A --from B` shows several results together.",
            )
        if shard["of"] != first.about["shard"]["of"] or not same_evaluation(_plain(result), _plain(first)):
            raise InvalidFacts(
                f"{names[0]} and {name} are shards of two evaluations: data, model, method, settings or the"
                " number of shards differ.",
                hint="Make all shards with one command but for the number.",
            )
        for index, records in _parts(result, name):
            found[index] = records
    order = sorted(found)
    shard = {"of": first.about["shard"]["of"], "parts": order, "records": [len(found[n]) for n in order]}
    about = _plain(first)
    if lost := missing({"shards": shard["of"], "parts": shard["parts"]}):
        about["shard"] = shard
        words = ", ".join(map(str, lost[:20])) + (", ..." if len(lost) > 20 else "")
        warnings.warn(
            f"{len(lost)} of {shard['of']} shards are missing: {words}. The figures are of the others alone.",
            BundleWarning,
            stacklevel=2,
        )
    cases = {name: case for result in results for name, case in result.cases.items()}
    names = sorted(cases, key=lambda name: (cases[name].get("row", 0), name))
    records = [record for index in order for record in found[index]]
    return Result(about, {name: cases[name] for name in names}, records)


def _parts(result: Result, name: str) -> list[tuple[int, list]]:
    """(shard, its records), in order; the shards of a merged result by how many records each has."""
    shard = result.about["shard"]
    counts = shard.get("records") or [len(result.records)]
    if len(counts) != len(shard["parts"]) or sum(counts) != len(result.records):
        raise InvalidFacts(f"{name}: the shards that it names are not what it holds.")
    found, start = [], 0
    for index, count in zip(shard["parts"], counts, strict=True):
        found.append((index, result.records[start : start + count]))
        start += count
    return found


def _plain(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.about.items() if name != "shard"}


def _is_shard(value: Any) -> bool:
    if not isinstance(value, dict) or type(value.get("of")) is not int or not 0 < value["of"] <= 1_000_000:
        return False
    parts = value.get("parts")
    return isinstance(parts, list) and bool(parts) and all(
        type(part) is int and 1 <= part <= value["of"] for part in parts
    )  # fmt: skip
