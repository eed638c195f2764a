"""okedit edit: facts in, a bundle out, and a table of what took."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import FactsDidNotTake, InvalidBundle, InvalidFacts, UsageError
from . import options
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit edit facts.yaml                          writes bundles/facts.safetensors
  okedit edit facts.yaml -o cats.safetensors -m HuggingFaceTB/SmolVLM-256M-Instruct
  okedit edit facts.yaml --method balancedit --layer 12 --device cpu
  okedit edit facts.yaml --json | jq '.facts[] | select(.took | not) | .id'
"""

COLUMNS = ("id", "took", "positives", "negatives", "d_pos", "d_neg", "radius", "seconds")
BUILT_IN = {"method": "balancedit", "layer": "auto", "device": "auto", "dtype": "auto", "seed": 0}


def edit(
    facts: Annotated[str, typer.Argument(metavar="FACTS.yaml", help="The fact file; - reads it from stdin.")],
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The bundle to write. [default: bundles/<name of the facts>.safetensors]",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            envvar="OKEDIT_METHOD",
            help="How edits are computed. [default: balancedit]",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="auto|N",
            envvar="OKEDIT_LAYER",
            help="Decoder layer, or auto: measured. [default: auto]",
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Keep facts that will over-reach because no radius separates them."),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", envvar="OKEDIT_SEED", min=0, help="Of all that is random. [default: 0]"
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a bundle of the facts in a file.

    The table says of each fact whether the model now answers as asked.

    Options come before OKEDIT_* variables, those before `model:` and `defaults:` of the fact file.
    Exit code 5: some fact did not take, or was kept out because no radius separates it.
    """
    out = Output(json=json, quiet=quiet)
    file = okedit_cli.load_facts(facts)
    given = {"method": method, "layer": layer, "device": device, "dtype": dtype, "seed": seed}
    chosen = BUILT_IN | file.defaults | {name: value for name, value in given.items() if value is not None}
    chosen["layer"] = _layer(chosen["layer"])
    target = _target(output, file.path)
    _check_pictures(file)

    loaded = open_model(
        model or file.model or options.DEFAULT_MODEL,
        out,
        device=chosen["device"],
        dtype=chosen["dtype"],
        revision=revision,
    )
    out.say(f"facts: {len(file.facts)} from {_shown(file.path)}")
    with out.progress() as progress:
        result = okedit_cli.fit(
            loaded,
            file.facts,
            method=chosen["method"],
            layer=chosen["layer"],
            force=force,
            seed=chosen["seed"],
            progress=progress,
        )

    reports = result.reports
    saved = not all(report.kept_out for report in reports)
    if saved:
        target.parent.mkdir(parents=True, exist_ok=True)
        result.bundle.save(target)
    if out.json:
        out.json_object(
            {"bundle": target if saved else None, "model": loaded.name, **chosen, "facts": reports}
        )
    else:
        out.table(COLUMNS, [_row(report) for report in reports])
    for report in reports:
        if report.note:
            out.note(f"{report.id}: {report.note}")
    if saved:
        out.say(f"bundle: {target}, {_size(target)}, site {_site(result.bundle.manifest.site)}")
        out.say(f"try: {_next(file.facts, reports, target, model or file.model)}")
    else:
        out.say("No fact is left, so no bundle was written.")
    _judge(reports)


def _layer(value: str | int) -> str | int:
    text = str(value)
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"--layer {text} is no layer, expected auto or a number from 0.")
    return int(text)


def _target(output: str | None, facts: Path) -> Path:
    """Where the bundle goes, found out before the work: never over a file that is no bundle."""
    stem = "facts" if str(facts) == "-" else facts.stem
    target = Path(output) if output else Path("bundles") / f"{stem}.safetensors"
    if target.is_dir():
        raise UsageError(
            f"{target} is a folder, expected the name of the bundle to write.",
            hint=f"-o {target / stem}.safetensors",
        )
    if target.exists():
        from ..bundle import read_manifest

        try:
            read_manifest(target)
        except InvalidBundle:
            raise UsageError(
                f"{target} is there already and no bundle that okedit can read, so it stays as it is.",
                hint="Name another file with -o, or remove this one.",
            ) from None
    return target


def _check_pictures(file: Any) -> None:
    """Open every picture before a model is loaded: a broken one is told at once, with its fact's line."""
    from ..pictures import load_picture

    seen: set[Path] = set()
    for fact in file.facts:
        questions = (*fact.keep, *fact.related, *fact.holdout)
        for picture in (fact.image, *fact.images, *(question.image for question in questions)):
            if picture is None or picture in seen:
                continue
            seen.add(picture)
            try:
                load_picture(picture)
            except InvalidFacts as error:
                raise InvalidFacts(
                    f"{_shown(file.path)}:{fact.line}: {error.message}", hint=error.hint
                ) from None


def _shown(path: Path) -> str:
    return "<stdin>" if str(path) == "-" else str(path)


def _row(report: Any) -> list[str]:
    took = "kept out" if report.kept_out else "yes" if report.took else "no"
    counts = ("{}/{}".format(*report.positives), "{}/{}".format(*report.negatives))
    return [
        report.id,
        took,
        *counts,
        *map(_number, (report.d_pos, report.d_neg, report.radius)),
        f"{report.seconds:.1f}",
    ]


def _number(value: Any) -> str:
    """A distance to three figures, "-" where there is none, "any" for a radius without end."""
    if value is None or value != value:
        return "-"
    return "any" if value == float("inf") else f"{float(value):.3g}"


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _site(site: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in site.items())


def _next(facts: Sequence[Any], reports: Sequence[Any], target: Path, model: str | None) -> str:
    """The command that asks for the first fact that took."""
    took = {report.id for report in reports if report.took and not report.kept_out}
    fact = next((fact for fact in facts if fact.id in took), facts[0])
    words = ["okedit", "ask", fact.prompt, "-b", str(target), "--compare"]
    if fact.image is not None:
        words[3:3] = ["--image", str(fact.image)]
    if model:
        words += ["-m", model]
    return shlex.join(words)


def _judge(reports: Sequence[Any]) -> None:
    failed = [report.id for report in reports if report.kept_out or not report.took]
    if failed:
        names = ", ".join(failed[:10]) + (", ..." if len(failed) > 10 else "")
        raise FactsDidNotTake(
            f"{len(failed)} of {len(reports)} facts did not take or were kept out: {names}.",
            hint="Give more rephrases, images and keep questions; --force keeps facts that over-reach.",
        )
