"""okedit eval: a data set in, figures with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import BelowBar, UsageError
from . import options
from .belonging import readable
from .choices import layer_of, numbers_of, percent_of
from .evaluation import cases_of, check_same_so_far, opened_for, page_of, run_all, run_one, target_of
from .loading import check_method, fetcher
from .output import Output
from .scaling import (
    Ray,
    Shard,
    WorkerCpus,
    WorkerGpus,
    Workers,
    evaluated_by_ray,
    need_of,
    shard_name,
    shard_of,
)
from .targets import Force

EXAMPLES = """
  okedit eval facts.yaml                              each edit by itself, on the built-in model
  okedit eval vlkeb-eval.json --images VLKEB/images --limit 100 --html report.html
  okedit eval data.json --sequential --edits 1000 --sample 100
  okedit eval data.json --method all --limit 20       every method in turn
  okedit eval data.json --sequential --edits 10 --edits 100 --gap 10,20,50
  okedit eval facts.yaml -b bundles/facts.safetensors --min-rel 90 --min-near 95
  okedit eval data.json --shard 3/8 -o part-3.json    `okedit merge part-*.json -o all.json` after them
  okedit eval data.json --ray --workers 4             cases shared out to four processes
  okedit eval --from results/a.json --from results/b.json --html both.html
"""

Many = list[str] | None
ALL = "all"
Bar = float | None


def _bar(name: str, what: str) -> Any:
    words = f"Exit with 6 when {what} is below this percentage."
    return typer.Option(f"--min-{name}", metavar="PERCENT", min=0, max=100, help=words)


def evaluate(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A fact file, or a data set in its authors' format.")
    ] = None,
    model: options.Model = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            "-b",
            "--bundle",
            metavar="FILE",
            help="Evaluate this bundle, or hf://owner/name, as it is; repeatable.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            envvar="OKEDIT_METHOD",
            help="One of those that `okedit methods` lists, or all of them; none edits nothing.",
        ),
    ] = "balancedit",
    settings: options.Settings = None,
    sequential: Annotated[
        bool, typer.Option("--sequential/--single", help="Many edits at once, or each on a clean model.")
    ] = False,
    edits: Annotated[
        Many, typer.Option("--edits", metavar="N", help="So many edits at once; repeatable or 10,100.")
    ] = None,
    gap: Annotated[
        Many, typer.Option("--gap", metavar="N", help="Score case i after i + N edits; repeatable or 10,20.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Of many at once score so many, by the seed."),
    ] = None,
    images: Annotated[
        str | None, typer.Option("--images", metavar="DIR", help="The folder that pictures start from.")
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="Of DATA; found out by its fields.")
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Go on without cases whose pictures are not there.")
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Go on without cases that cannot be asked, for whatever reason."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="So many cases, drawn by the seed.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", envvar="OKEDIT_SEED", min=0, help="Of all that is random.")
    ] = 0,
    layer: Annotated[
        str, typer.Option("--layer", metavar="auto|N", envvar="OKEDIT_LAYER", help="Where edits act.")
    ] = "auto",
    remote_images: options.RemoteImages = False,
    remote_hosts: options.RemoteHosts = None,
    over_reach: options.OverReach = False,
    force: Force = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PART", help="Leave a part of the method out; repeatable."),
    ] = None,
    strict: options.Strict = False,
    strictness: options.Strictness = None,
    one_hop: Annotated[
        bool, typer.Option("--one-hop", help="Edit what portability rests on as well (VLKEB, MQuAKE).")
    ] = False,
    forced: Annotated[
        bool, typer.Option("--forced/--no-forced", help="Teacher forcing beside generation.")
    ] = True,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            metavar="N",
            min=1,
            help="The longest answer, in tokens, but for questions whose right answer is longer.",
        ),
    ] = 32,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Questions asked at once.")] = 32,
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="The result. [default: in results/]"),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a report, one file, as well.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="FILE", help="Score a result again, without a model; repeatable."),
    ] = None,
    min_rel: Annotated[Bar, _bar("rel", "Rel (exact)")] = None,
    min_t_gen: Annotated[Bar, _bar("t-gen", "T-Gen (exact)")] = None,
    min_i_gen: Annotated[Bar, _bar("i-gen", "I-Gen (exact)")] = None,
    min_port: Annotated[Bar, _bar("port", "Port (exact)")] = None,
    min_holdout: Annotated[Bar, _bar("holdout", "Holdout (exact)")] = None,
    min_t_loc: Annotated[Bar, _bar("t-loc", "T-Loc")] = None,
    min_i_loc: Annotated[Bar, _bar("i-loc", "I-Loc")] = None,
    min_specificity: Annotated[Bar, _bar("specificity", "Specificity")] = None,
    min_near: Annotated[Bar, _bar("near", "Near")] = None,
    min_hm: Annotated[Bar, _bar("hm", "the harmonic mean (exact)")] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    shard: Shard = None,
    ray: Ray = None,
    workers: Workers = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what edits change and what they leave alone.

    Every question is asked before and after, by free generation and by teacher forcing; figures come with
    95 % intervals. Ctrl-C keeps what is done, and the same command goes on from there. A result gives way to
    one of the same data, model, method, limit and settings alone; without -o others get a name of their own.

    Exit code 4: a bundle does not belong to the model; 6: a figure lies below a --min-* bar.
    """
    out = Output(json=json, quiet=quiet)
    bars = {
        "rel": min_rel, "t_gen": min_t_gen, "i_gen": min_i_gen, "port": min_port, "holdout": min_holdout,
        "t_loc": min_t_loc, "i_loc": min_i_loc, "specificity": min_specificity,
        "near": min_near, "hm": min_hm,
    }  # fmt: skip
    bars = {name: percent_of(name, bar) for name, bar in bars.items() if bar is not None}
    part = shard_of(shard)
    need = need_of(ray, workers, worker_cpus, worker_gpus, part)
    if (data is None) == (not source):
        raise UsageError("Name a data set, or results with --from.", hint="okedit eval facts.yaml")
    if source:
        page = page_of(html, force, source)
        from ..evaluate import Result

        results = [Result.load(Path(name)) for name in source]
    else:
        mode = "bundle" if bundle else "sequential" if sequential else "single"
        counts, gaps = numbers_of("edits", edits), numbers_of("gap", gap)
        if (counts or gaps or sample) and mode != "sequential":
            raise UsageError("--edits, --gap and --sample go with --sequential.", hint="Add --sequential.")
        if (part or need) and (mode == "sequential" or (method == ALL and not bundle)):
            raise UsageError(
                "--shard and --ray share out the cases of one method whose edits are not held at once.",
                hint="Name one method; for edits held at once, `okedit edit --ray` and eval -b BUNDLE.",
            )
        several = method == ALL and not bundle
        if several and (output or settings):
            raise UsageError(
                "--method all writes a result for each method, with that method's own settings.",
                hint="Leave out -o and --set, or name one method.",
            )
        if method not in ("none", ALL):
            check_method(method, settings or (), without=frozenset(without or ()))
        bundles = readable(bundle or ())
        name, stem = "bundle" if bundle else method, "facts" if data == "-" else Path(data).stem
        target = target_of(
            output, f"{shard_name(f'{stem}-{name}-{mode}', part)}.json", force, [data, *bundles]
        )
        page = page_of(html, force, [data, *bundles, target, target.with_name(target.name + ".journal")])
        from ..evaluate import Plan

        plan = Plan(mode, tuple(counts), tuple(gaps), seed, forced, sample)
        source = {"format": format, "images": images, "fetch": fetcher(remote_images, remote_hosts)}
        found = cases_of(out, data, source, skip_missing, skip_bad, seed, limit)
        opening = {
            "device": device or "auto",
            "dtype": dtype or "auto",
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        }
        asked = {
            "limit": limit,
            "skip_bad": skip_bad,
            "layer": layer_of(layer),
            "force": over_reach,
            "supporting": one_hop,
            "strictness": strictness,
            "without": tuple(without or ()),
            "settings": tuple(settings or ()),
        }
        asked |= {"max_tokens": max_tokens, "batch": batch}
        if output and not force and not part:
            check_same_so_far(target, found, plan, method, bundles, asked)
        place = target, bool(output)
        opened = None if need else opened_for(out, model, bundles, strict, opening)
        if need:
            named = model or options.DEFAULT_MODEL
            given = (found, plan, need, place, force, named, opening, method, bundles, asked)
            results = [evaluated_by_ray(out, *given)]
        elif several:
            from ..methods import methods

            places = {one: target.with_name(f"{stem}-{one}-{mode}.json") for one in methods()}
            results = run_all(out, opened, found, plan, places, force, asked)
        else:
            sharing = {"shard": part} if part else {}
            results = [run_one(out, opened, found, plan, place, force, method, bundles, asked | sharing)]
    show_results(out, results)
    if page:
        from ..evaluate.report.html import report
        from ..evaluate.result import write

        write(page, report(results))
        out.say(f"report: {page}")
    _judge(results, bars)


def show_results(out: Output, results: Sequence[Any]) -> None:
    """The tables of results, or one JSON object with their figures."""
    from ..evaluate.report.table import COLUMNS, SPARE, kind_rows, legend, stage_rows

    if out.json:
        out.json_object({"results": [result.to_json(answers=False) for result in results]})
        return
    for result in results:
        for stage in result.stages:
            out.line(f"{result.name}, {stage} (percent, 95 % intervals)")
            out.table(COLUMNS, stage_rows(result, stage), spare=SPARE)
            columns, rows = kind_rows(result, stage)
            if rows:
                out.table(columns, rows)
    for line in dict.fromkeys(line for result in results for line in legend(result)):
        out.say(line)


def _judge(results: Sequence[Any], bars: dict[str, float]) -> None:
    from ..evaluate.result import below

    found = [f"{result.name}: {words}" for result in results for words in below(result, bars)]
    if found:
        raise BelowBar("\n".join(found), hint="--html shows the failures with their pictures.")
