"""`okedit eval --ray`: cases shared out to workers, their answers put together to one result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from okedit_cli.evaluate import DataSet, Plan, Result
from okedit_cli.evaluate.plan import stages
from okedit_cli.evaluate.records import from_json
from okedit_cli.evaluate.result import check_same
from okedit_cli.scale.parcel import contents, digests
from okedit_cli.scale.pool import Need, Pool
from okedit_cli.scale.state import State, key_of
from okedit_cli.scale.worker import Job, Worker

SHARES = 4  # shards a worker
MOST = 32  # cases of a shard

Progress = Callable[[str, int, int], None]


def evaluate(
    data: DataSet,
    need: Need,
    *,
    model: str,
    opening: Mapping[str, Any],
    options: Mapping[str, Any],
    place: Callable[[dict[str, Any]], Path],
    hold: Callable[[Path], AbstractContextManager[State]],
    replace: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> Result:
    """evaluate() by Ray's workers, written to the path that `place` names when it is told what the result
    says of itself; `hold` opens the state beside it. `options` are those of prepared(), bundles as bytes.

    UsageError: a plan whose cases cannot be shared out, or another evaluation's result at that path.
    """
    plan: Plan = options["plan"]
    stages((), plan, range(0))
    cases = [case for case in data.cases]
    files = digests(cases)
    with Pool(need, Worker, say) as pool:
        handle = pool.put(contents(files)) if pool.nodes > 1 else ()
        pool.give(Job(model, opening, data, files, handle, options))
        progress("loading the model", 0, 1)
        found = pool.ask("cases")
        progress("loading the model", 1, 1)
        words, order = found["words"], found["order"]
        target = place(words)
        if not replace:
            check_same(target, words)
        with hold(target) as state:
            records = _records(pool, state, words, order, progress)
        result = Result(words, found["cases"], [from_json(record, "an answer") for record in records])
        result.save(target)
        return result


def _records(
    pool: Pool, state: State, words: dict[str, Any], order: list[str], progress: Progress
) -> list[dict[str, Any]]:
    """The records of all cases in order, of which the state may hold some."""
    found: dict[int, list[dict]] = {}
    place = {name: number for number, name in enumerate(order)}
    mark = key_of(words)
    for part in state.parts("cases"):
        if part.get("evaluation") == mark:
            for name, records in part["records"].items():
                found[place[name]] = records
    progress("cases", len(found), len(order))
    todo = [number for number in range(len(order)) if number not in found]
    size = max(1, min(MOST, math.ceil(len(todo) / (SHARES * pool.most))))
    tasks: dict[str, tuple[int, int]] = {}
    for run in _runs(todo):
        for start in range(run.start, run.stop, size):
            stop = min(start + size, run.stop)
            tasks[key_of(mark, order[start:stop])] = start, stop

    def told(key: str, records: list[dict]) -> None:
        by_case: dict[str, list[dict]] = {name: [] for name in order[slice(*tasks[key])]}
        for record in records:
            by_case[record["case"]].append(record)
        state.put("cases", key, {"evaluation": mark, "records": by_case})
        found.update((place[name], own) for name, own in by_case.items())
        progress("cases", len(found), len(order))

    pool.run("evaluate", tasks, told)
    return [record for number in range(len(order)) for record in found[number]]


def _runs(numbers: list[int]) -> list[range]:
    """Stretches of numbers that follow each other."""
    found: list[range] = []
    for number in numbers:
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found
