"""Evaluation: data sets of many authors as cases, runs over them, figures with intervals, reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import UsageError
from okedit_cli.evaluate.askable import answers_of, askable, model_refusal, used_cases
from okedit_cli.evaluate.bench import Bench, Plain, Progress
from okedit_cli.evaluate.case import DataSet
from okedit_cli.evaluate.journal import Journal, journal_of
from okedit_cli.evaluate.plan import Plan, stages
from okedit_cli.evaluate.readers import FORMATS, load_cases, present
from okedit_cli.evaluate.result import Result, about, cases_json, check_same

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

__all__ = [
    "FORMATS",
    "DataSet",
    "Plan",
    "Result",
    "askable",
    "evaluate",
    "evaluate_on",
    "load_cases",
    "present",
]

Place = str | os.PathLike[str] | Callable[[dict[str, Any]], Path] | None
NOTHING = "none"  # the method that edits nothing


def evaluate(
    loaded: LoadedModel,
    data: DataSet | str | os.PathLike[str],
    *,
    method: str = "balancedit",
    bundles: Sequence[Bundle | str | os.PathLike[str]] | Bundle | str | os.PathLike[str] = (),
    plan: Plan | None = None,
    limit: int | None = None,
    out: Place = None,
    replace: bool = False,
    skip_bad: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Evaluate a method, or bundles as they are, on a data set; with `out` resumable and written there.

    `out` is a file, or a function that names one when it is told what the result says of itself; only
    `replace` lets it take the place of anything but a result of this very evaluation. `skip_bad` leaves cases
    out that cannot be asked. `options` are those of ModelBench: layer, force, supporting, max_tokens, batch.
    Method "none" edits nothing. InvalidFacts: a data set that cannot be read, cases that cannot be asked, or
    pictures that are not there.
    """
    from okedit_cli.bundle import bundles_of

    plan = plan or Plan("bundle" if bundles_of(bundles) else "single")
    bench, found = prepared(
        loaded, data, method=method, bundles=bundles, plan=plan, limit=limit, skip_bad=skip_bad,
        progress=progress, **options,
    )  # fmt: skip
    from okedit_cli.models.memory import keeping

    with keeping(loaded):  # edits come and go, and the same pictures are asked about
        return evaluate_on(
            bench, found, plan=plan, limit=limit, out=out, replace=replace, shard=shard, progress=progress
        )


def prepared(
    loaded: LoadedModel,
    data: DataSet | str | os.PathLike[str],
    *,
    method: str,
    bundles: Sequence[Bundle | str | os.PathLike[str]] | Bundle | str | os.PathLike[str],
    plan: Plan,
    limit: int | None,
    skip_bad: bool,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[Bench, DataSet]:
    """What evaluate() evaluates, and the cases that the model can be asked."""
    from okedit_cli.bundle import bundles_of

    bundles = bundles_of(bundles)
    found = data if isinstance(data, DataSet) else present(load_cases(data), skip_missing=skip_bad)
    if method != NOTHING and not bundles:
        from okedit_cli.methods import method_named

        method_named(method)  # an unknown one is told before anything is asked
    found = askable(
        found,
        seed=plan.seed,
        limit=limit,
        skip_bad=skip_bad,
        refusal=model_refusal(loaded),
        progress=progress,
    )
    options["answers"] = answers_of(used_cases(found, plan.seed, limit))
    return bench_of(
        loaded, method=method, seed=plan.seed, bundles=bundles, progress=progress, **options
    ), found


def bench_of(loaded: LoadedModel | None, *, method: str, **options: Any) -> Bench:
    """The bench of a method, "none" included; without a model it can only describe itself."""
    from okedit_cli.evaluate.model import ModelBench

    if method == NOTHING:
        return Plain(ModelBench(loaded, **options))
    return ModelBench(loaded, method=method, **options)


def evaluate_on(
    bench: Bench,
    data: DataSet,
    *,
    plan: Plan,
    limit: int | None = None,
    out: Place = None,
    replace: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Result:
    """evaluate() on any bench, of cases that can be asked. What is done so far stands in `out`.journal and
    `out`.fitted until the result is written.

    `limit` takes so many cases, drawn by the plan's seed, so that they do not depend on the file's order.
    """
    from okedit_cli.bundle.shards import part_of
    from okedit_cli.evaluate.run import run
    from okedit_cli.evaluate.shards import shard_words

    used = used_cases(data, plan.seed, limit)
    part = None if shard is None else part_of(len(used), shard)
    stages(used, plan, part)  # what makes no sense is told before anything is asked
    words = about(data, used, plan, bench.describe())
    if shard is not None:
        words["shard"] = shard_words(*shard)
    out = out(words) if callable(out) else Path(out) if out is not None else None
    with Journal(out and journal_of(out), words) as kept:
        if out is not None:
            if not replace:
                _check_same(out, words, kept)
            bench.store = fitted_of(out)
        scored = used if part is None else [used[place] for place in part]
        result = Result(words, cases_json(scored), run(bench, used, plan, kept, progress, part))
        if out is not None:
            result.save(out)
            _forget(bench.store)
        kept.remove()
    return result


def _check_same(out: Path, words: dict[str, Any], kept: Journal) -> None:
    """check_same() while the journal is held, so that no other run ends between the look and the work."""
    try:
        check_same(out, words)
    except UsageError:
        if not kept.resumed:
            kept.remove()
        raise


def fitted_of(result: Path) -> Path:
    """Where bundles lie that a stopped evaluation need not fit again."""
    return result.with_name(result.name + ".fitted")


def _forget(store: Path) -> None:
    """Remove what an evaluation has put into its store, and nothing else that may be there."""
    for path in store.glob("*.safetensors"):
        if len(path.stem) == 16 and set(path.stem) <= set("0123456789abcdef"):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or it holds something of the user's
        store.rmdir()
