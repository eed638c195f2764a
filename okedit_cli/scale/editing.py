"""`okedit edit --ray`: facts fitted by workers, put together, then checked by workers with all attached.

The bundle is that of one process: on a CPU, with one thread a worker, byte by byte. A fact that was fitted is
found again by its content, the model and the settings, so that a run which was stopped, or whose file has
grown, fits what is new alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from okedit_cli.bundle import Bundle
from okedit_cli.bundle.shards import joined
from okedit_cli.bundle.words import row_of
from okedit_cli.checking import TOGETHER, FactReport
from okedit_cli.errors import ModelMismatch
from okedit_cli.facts import Fact
from okedit_cli.fitting import FitResult, put_reports
from okedit_cli.methods import method_named
from okedit_cli.methods.registry import check_splits
from okedit_cli.scale.parcel import contents, digests, sha256
from okedit_cli.scale.pool import Need, Pool
from okedit_cli.scale.state import State, key_of
from okedit_cli.scale.worker import Job, Worker, report_of

SHARES = 4  # shards a worker: small enough that a slow one keeps nobody waiting
MOST = 36  # facts of a shard

Progress = Callable[[str, int, int], None]


def edit(
    facts: Sequence[Fact],
    need: Need,
    state: State,
    *,
    model: str,
    opening: Mapping[str, Any],
    options: Mapping[str, Any],
    progress: Progress,
    say: Callable[[str], None],
) -> FitResult:
    """fit() by Ray's workers. `opening` and `options` are those of load_model and fit.

    UsageError: a method whose facts cannot be shared out, or no Ray; ModelMismatch: workers differ.
    """
    method = method_named(options["method"])
    check_splits(method)
    files = digests(list(facts))
    with Pool(need, Worker, say) as pool:
        handle = pool.put(contents(files)) if pool.nodes > 1 else ()
        pool.give(Job(model, opening, list(facts), files, handle, options))
        progress("loading the model", 0, 1)
        words = pool.ask("describe")
        say(f"model: {words['fingerprint']['name']} on {words['device']}, at most {pool.most} workers of"
            f" {need.cpus} CPU{'s' if need.cpus > 1 else ''}; the first is {words['place']}")  # fmt: skip
        progress("loading the model", 1, 1)
        mark = [words["fingerprint"], words["versions"], words["device"], options]
        if method.near:
            mark.append([row_of(fact) for fact in facts])
        keys = [key_of(mark, row_of(fact)) for fact in facts]
        _fit(pool, state, keys, progress, say)
        whole, reports = _whole(state, keys, facts)
        return FitResult(whole, _check(pool, state, keys, facts, whole, reports, options["seed"], progress))


def _fit(pool: Pool, state: State, keys: Sequence[str], progress: Progress, say: Callable) -> None:
    """Have those of the facts fitted that are not done."""
    done = {key for part in state.parts("fit") for key in part["facts"]}
    todo = [row for row, key in enumerate(keys) if key not in done]
    if len(todo) < len(keys):
        say(f"{len(keys) - len(todo)} of {len(keys)} facts are fitted already, in {state.folder}")
    size = max(1, min(MOST, math.ceil(len(todo) / (SHARES * pool.most))))
    shards = [todo[start : start + size] for start in range(0, len(todo), size)]
    tasks = {key_of([keys[row] for row in shard]): (shard,) for shard in shards}
    rows = dict(zip(tasks, shards, strict=True))
    ready = len(keys) - len(todo)
    progress("fitting facts", ready, len(keys))

    def kept(key: str, value: tuple[bytes, list[dict]]) -> None:
        nonlocal ready
        data, reports = value
        told = dict(zip((keys[row] for row in rows[key]), reports, strict=True))
        state.put("fit", key, {"facts": told}, data)
        ready += len(rows[key])
        progress("fitting facts", ready, len(keys))

    pool.run("fit", tasks, kept)


def _whole(state: State, keys: Sequence[str], facts: Sequence[Fact]) -> tuple[Bundle, list[dict[str, Any]]]:
    """All facts' edits as one bundle, in the file's order, and their reports."""
    where: dict[str, tuple[str, dict]] = {}
    for part in state.parts("fit"):
        where |= {key: (part["key"], report) for key, report in part["facts"].items()}
    opened: dict[str, tuple[Bundle, dict[str, int]]] = {}
    for name in dict.fromkeys(where[key][0] for key in keys):
        bundle = Bundle.load(state.file("fit", name))
        opened[name] = bundle, {fact["id"]: row for row, fact in enumerate(bundle.manifest.facts)}
    picked = []
    for key, fact in zip(keys, facts, strict=True):
        name = where[key][0]
        if fact.id in opened[name][1]:  # else it was kept out
            picked.append((name, opened[name][1][fact.id]))
    parts = [(opened[name][0], rows) for name, rows in _stretches(picked)]
    whole = joined(parts or [(next(iter(opened.values()))[0], [])])
    _check_one_run(whole)
    return whole, [where[key][1] for key in keys]


def _stretches(picked: Sequence[tuple[str, int]]) -> list[tuple[str, list[int]]]:
    """(shard, rows) of what follows each other in one shard, in rising order."""
    found: list[tuple[str, list[int]]] = []
    for name, row in picked:
        if found and found[-1][0] == name and found[-1][1][-1] < row:
            found[-1][1].append(row)
        else:
            found.append((name, [row]))
    return found


def _check_one_run(bundle: Bundle) -> None:
    """ModelMismatch where workers had other versions of the libraries than each other."""
    merged = bundle.manifest.versions.get("merged")
    if merged:
        raise ModelMismatch(
            f"The workers' libraries differ: {merged[0]} and {merged[1]}.",
            hint="Install the same versions on every machine.",
        )


def _check(
    pool: Pool,
    state: State,
    keys: Sequence[str],
    facts: Sequence[Fact],
    whole: Bundle,
    reports: Sequence[dict],
    seed: int,
    progress: Progress,
) -> list[FactReport]:
    """Reports on all facts with the whole bundle attached, which they are written into."""
    path = state.folder / "whole.safetensors"
    whole.save(path)
    name = sha256(path)[:32]
    kept = [row for row, report in enumerate(reports) if not report["kept_out"]]
    # in the very groups that one process asks together
    groups = [kept[start : start + TOGETHER] for start in range(0, len(kept), TOGETHER)]
    surroundings = key_of(name, seed, [row_of(fact) for fact in facts])
    group_of = {key_of(surroundings, [keys[row] for row in group]): group for group in groups}
    found: dict[int, FactReport] = {row: report_of(report) for row, report in enumerate(reports)}
    ready = 0

    def told(key: str, value: list[dict]) -> None:
        nonlocal ready
        if state.get("check", key) is None:
            state.put("check", key, {"reports": value})
        found.update(zip(group_of[key], map(report_of, value), strict=True))
        ready += len(group_of[key])
        progress("checking facts", ready, len(kept))

    tasks, handle = {}, pool.put(path.read_bytes())
    for key, group in group_of.items():
        if (done := state.get("check", key)) is not None:
            told(key, done["reports"])
        else:
            tasks[key] = group, [reports[row] for row in group], name, handle, seed
    progress("checking facts", ready, len(kept))
    pool.run("check", tasks, told)
    ordered = [found[row] for row in range(len(facts))]
    put_reports(whole, ordered)
    return ordered


def forget_whole(folder: Path) -> None:
    """Remove the copy of the bundle that workers checked; what is done stays."""
    (folder / "whole.safetensors").unlink(missing_ok=True)
