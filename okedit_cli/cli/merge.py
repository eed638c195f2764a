"""okedit merge: bundles into one, with a table of what contradicts what; or shards of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import FactsDidNotTake
from . import options
from .bundles import local, number, one_line, size_of
from .output import Output
from .targets import BUNDLE, RESULT, Force, writable_target

EXAMPLES = """
  okedit merge cats.safetensors dogs.safetensors -o pets.safetensors
  okedit merge old.safetensors new.safetensors -o all.safetensors --on-conflict first
  okedit merge facts-*-of-8.safetensors -o facts.safetensors       shards of `okedit edit --shard`
  okedit merge part-*.json -o whole.json                           shards of `okedit eval --shard`
  okedit merge a.safetensors hf://owner/name -o all.safetensors --on-conflict error --json
"""

COLUMNS = ("first", "second", "answers", "picture distance", "question distance", "picture radii",
           "question radii", "done")  # fmt: skip


def merge(
    bundles: Annotated[
        list[str],
        typer.Argument(metavar="BUNDLE...", help="Bundles, older first: files, or hf://owner/name."),
    ],
    output: Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="The bundle to write.")],
    on_conflict: Annotated[
        str | None,
        typer.Option(
            "--on-conflict",
            metavar="newest|first|error",
            help="Two edits that answer the same prompt differently: keep that of the later or the earlier "
            "bundle, or refuse. [default: newest, with exit code 5 where an edit is left out]",
        ),
    ] = None,
    force: Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge bundles of one base model, or results of the shards of one evaluation, into one; needs no model.

    Shards of one fact file become the bundle that one run would have made, in whatever order they come.

    Equal edits are kept once. The table names edits that contradict each other, their distances and radii
    (of the first / of the second), and what was done about it.

    Exit code 5: an edit was left out, and --on-conflict did not say so.
    """
    from ..bundle.lock import locked
    from ..bundle.merge import MergeConflict
    from ..bundle.merge import merge as merge_bundles

    out = Output(json=json, quiet=quiet)
    files = [local(name) for name in bundles]
    if all(file.is_file() and RESULT.is_one(file) for file in files):
        _merge_results(out, files, writable_target(output, RESULT, force=force))
        return
    target = writable_target(output, BUNDLE, force=force)
    with locked(target, tell=out.note):  # it may be one of those that are read
        opened = [okedit_cli.Bundle.load(file) for file in files]
        try:
            merged, report = merge_bundles(
                opened, on_conflict=on_conflict or "newest", names=bundles, lazy=True
            )
        except MergeConflict as error:
            if error.report is not None:
                _render(out, None, 0, error.report)
            raise
        merged.save(target)
    _render(out, target, len(merged.manifest), report)
    out.say(f"bundle: {target}, {size_of(target)}, {len(merged.manifest)} edits")
    if report.dropped and on_conflict is None:
        raise FactsDidNotTake(
            f"{len(report.dropped)} edits were left out for newer ones that contradict them:"
            f" {', '.join(report.dropped[:10])}{', ...' if len(report.dropped) > 10 else ''}.",
            hint="That is what --on-conflict newest means; say it, or first or error, to have it so.",
        )


def _merge_results(out: Output, files: list[Path], target: Path) -> None:
    """Shards of an evaluation as one result, and its table."""
    from ..evaluate import Result
    from ..evaluate.shards import merged
    from .eval import show_results

    result = merged([Result.load(file) for file in files], [str(file) for file in files])
    result.save(target)
    show_results(out, [result])
    out.say(f"result: {target}, {len(result.cases)} cases")


def _render(out: Output, target: Any, edits: int, report: Any) -> None:
    if out.json:
        out.json_object({"bundle": target, "edits": edits, **_fields(report)})
        return
    tell_report(out, report)


def _fields(report: Any) -> dict[str, Any]:
    return {
        name: getattr(report, name) for name in ("conflicts", "total", "duplicates", "renamed", "dropped")
    }


def tell_report(out: Output, report: Any) -> None:
    """The table of conflicts on stdout, everything else that changed on stderr."""
    if report.conflicts:
        rows = [_row(one) for one in report.conflicts]
        out.table(COLUMNS, rows, words=COLUMNS[:3], spare=COLUMNS[6:2:-1])
        if report.total > len(report.conflicts):
            out.say(f"{report.total - len(report.conflicts)} more conflicts are not shown.")
    for left_out, kept in report.duplicates:
        out.say(f"kept once: {left_out}" + (f" (as {kept})" if kept != left_out else ""))
    for old, new in report.renamed:
        out.say(f"renamed: {old} to {new}")
    for name in report.dropped:
        out.say(f"left out: {name}")


def _row(one: Any) -> list[str]:
    radii = ["{} / {}".format(*map(number, pair)) for pair in zip(*one.radii, strict=True)]
    answers = " / ".join(one_line(answer, 40) for answer in one.answers)
    return [one.first, one.second, answers, *map(number, one.distances), *radii, one.action]
