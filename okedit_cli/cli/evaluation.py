"""One evaluation of `okedit eval`: what it reads and writes, looked at before a model is loaded; and the run.

Options and what is shown are in eval.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import okedit_cli

from ..errors import InvalidFacts, ModelError, UsageError
from . import options
from .belonging import check_named, told_already
from .loading import open_model
from .output import Output
from .targets import BUNDLE, REPORT, RESULT, writable_target

FOLDER = Path("results")


def target_of(output: str | None, name: str, force: bool, inputs: Sequence[str | Path]) -> Path:
    """The result to write; a name that okedit chooses is judged when all of the evaluation is known."""
    ending = [".journal"]
    if output:
        return writable_target(output, RESULT, force=force, inputs=inputs, beside=ending)
    return writable_target(FOLDER / name, RESULT, force=True, inputs=inputs, beside=ending)


def page_of(html: str | None, force: bool, others: Sequence[str | Path]) -> Path | None:
    return html and writable_target(html, REPORT, force=force, option="--html", inputs=others)


def cases_of(
    out: Output,
    data: str,
    source: dict[str, Any],
    skip_missing: bool,
    skip_bad: bool,
    seed: int,
    limit: int | None,
) -> Any:
    """The data set, when what will be needed of it is in order. `source` are options of load_cases."""
    from ..evaluate import askable, load_cases, present

    try:
        cases = load_cases(data, **source)
    except InvalidFacts:
        _refuse_bundle(data)
        raise
    found = present(cases, skip_missing=skip_missing or skip_bad)
    with out.progress() as progress:
        found = askable(found, seed=seed, limit=limit, skip_bad=skip_bad, progress=progress)
    _tell_left_out(out, found.left_out)
    out.say(f"data: {len(found.cases)} cases ({found.format}), {len(found.left_out)} left out")
    return found


def _tell_left_out(out: Output, rows: Sequence[Sequence[Any]]) -> None:
    for row, why in rows[:20]:
        out.say(f"left out: row {row}: {why}")


def _refuse_bundle(data: str) -> None:
    if Path(data).is_file() and BUNDLE.is_one(Path(data)):
        raise UsageError(
            f"{data} is a bundle, expected a fact file or a data set to evaluate it on.",
            hint=f"okedit eval facts.yaml -b {data}; `okedit export {data} --to facts.yaml` gives its facts.",
        )


def check_same_so_far(
    target: Path, data: Any, plan: Any, method: str, bundles: Sequence[Path], asked: dict[str, Any]
) -> None:
    """UsageError when the result at `target` is of other data, settings or plan, as far as that can be told
    before the model is loaded; evaluate() looks again when it knows the model.
    """
    from ..evaluate import bench_of
    from ..evaluate.askable import used_cases
    from ..evaluate.result import about, check_same

    if not target.exists():
        return
    options = {name: value for name, value in asked.items() if name not in ("limit", "skip_bad")}
    loaded = [okedit_cli.Bundle.load(path) for path in bundles]
    bench = bench_of(None, method=method, seed=plan.seed, bundles=loaded, **options)
    check_same(target, about(data, used_cases(data, plan.seed, asked["limit"]), plan, bench.describe()))


def opened_for(
    out: Output, model: str | None, bundles: Sequence[Path], strict: bool, opening: dict[str, Any]
) -> Any:
    """The model that is evaluated, once the bundles are found to belong to it."""
    opened = open_model(model or options.DEFAULT_MODEL, out, **opening)
    check_named(bundles, opened, out, strict)
    return opened


def run_all(
    out: Output,
    opened: Any,
    data: Any,
    plan: Any,
    places: dict[str, Path],
    replace: bool,
    asked: dict[str, Any],
) -> list[Any]:
    """An evaluation of each method, by the path of its result; one that cannot edit this model or these cases
    is told with the reason.
    """
    from ..evaluate.journal import journal_of

    results = []
    for number, (method, path) in enumerate(places.items(), 1):
        out.say(f"method {number} of {len(places)}: {method}")
        begun: list[Path] = []
        try:
            results.append(run_one(out, opened, data, plan, (path, False), replace, method, (), asked, begun))
        except (UsageError, ModelError, InvalidFacts) as error:
            out.note(f"{method} is left out: {error.message}")
            for target in begun:  # another run would come no further
                journal_of(target).unlink(missing_ok=True)
    return results


def run_one(
    out: Output,
    opened: Any,
    data: Any,
    plan: Any,
    place: tuple[Path, bool],
    replace: bool,
    method: str,
    bundles: Sequence[Path],
    asked: dict[str, Any],
    begun: list[Path] | None = None,
) -> Any:
    """One evaluation, written to its place: (path, whether the user named it), where
    `replace` lets it replace another's result. What a stop leaves is said. The path is put into `begun`.
    """
    from ..evaluate.result import place_for

    loaded = [okedit_cli.Bundle.load(path) for path in bundles]
    targets = [] if begun is None else begun

    def placed(words: dict[str, Any]) -> Path:
        path, is_named = place
        targets.append(path if is_named else place_for(path, words))
        _tell_left_out(out, words["data"]["left_out"][len(data.left_out) :])
        out.say(f"{plan.mode}: {words['data']['cases']} cases, the result goes to {targets[0]}")
        return targets[0]

    try:
        with told_already(), out.progress() as progress:
            result = okedit_cli.evaluate(
                opened,
                data,
                method=method,
                bundles=loaded,
                plan=plan,
                out=placed,
                replace=replace,
                progress=progress,
                **asked,
            )
    except KeyboardInterrupt:
        if targets:
            out.note(f"What is done is kept in {targets[0]}.journal; the same command goes on from there.")
        raise
    out.say(f"result: {targets[0]}")
    return result
