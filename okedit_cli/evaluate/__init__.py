"""Evaluation: data sets of many authors as cases, runs over them, figures with intervals, reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.evaluate.bench import Bench, Plain, Progress
from okedit_cli.evaluate.case import DataSet
from okedit_cli.evaluate.grid import in_order, with_grid
from okedit_cli.evaluate.journal import Journal
from okedit_cli.evaluate.plan import Plan, stages
from okedit_cli.evaluate.readers import FORMATS, load_cases, present
from okedit_cli.evaluate.result import Result, about, cases_json

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

__all__ = ["FORMATS", "DataSet", "Plan", "Result", "evaluate", "evaluate_on", "load_cases", "present"]

NOTHING = "none"  # the method that edits nothing


def evaluate(
    loaded: LoadedModel,
    data: DataSet | str | os.PathLike[str],
    *,
    method: str = "balancedit",
    bundles: Sequence[Bundle] = (),
    plan: Plan | None = None,
    limit: int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Evaluate a method, or bundles as they are, on a data set; with `out` resumable and written there.

    `options` are those of ModelBench: layer, force, supporting, max_tokens, batch. Method "none" edits
    nothing. InvalidFacts: a data set that cannot be read, or pictures that are not there.
    """
    from okedit_cli.evaluate.model import ModelBench

    found = data if isinstance(data, DataSet) else present(load_cases(data))
    plan = plan or Plan("bundle" if bundles else "single")
    out = Path(out) if out is not None else None
    store = out.with_name(out.name + ".fitted") if out is not None else None
    if method != NOTHING and not bundles:
        from okedit_cli.methods import method_named

        method_named(method)  # an unknown one is told before anything is asked
    fitting = {"method": method} if method != NOTHING else {}
    bench: Bench = ModelBench(
        loaded, seed=plan.seed, bundles=bundles, store=store, progress=progress, **fitting, **options
    )
    if method == NOTHING:
        bench = Plain(bench)
    result = evaluate_on(bench, found, plan=plan, limit=limit, out=out, progress=progress)
    if store is not None and store.is_dir():
        for path in store.glob("*.safetensors"):
            path.unlink()
        store.rmdir()
    return result


def evaluate_on(
    bench: Bench,
    data: DataSet,
    *,
    plan: Plan,
    limit: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """evaluate() on any bench. What is done so far stands in `out`.journal until the result is written.

    `limit` takes so many cases, drawn by the plan's seed, so that they do not depend on the file's order.
    """
    from okedit_cli.evaluate.run import run

    used = in_order(with_grid(data.cases, plan.seed), plan.seed)[:limit]
    stages(used, plan)  # what makes no sense is told before anything is asked
    words = about(data, used, plan, bench.describe())
    journal = out.with_name(out.name + ".journal") if out is not None else None
    with Journal(journal, words) as kept:
        result = Result(words, cases_json(used), run(bench, used, plan, kept, progress))
        if out is not None:
            result.save(out)
        kept.remove()
    return result
