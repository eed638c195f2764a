"""okedit dataset build: make okedit-pictures or okedit-photographs, the data sets to evaluate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from okedit_cli.errors import UsageError

from . import options
from .output import Output

EXAMPLES = """
  okedit dataset build okedit-pictures
  okedit dataset build okedit-pictures --packages ./archives     from archives that are there
  okedit dataset build okedit-photographs --from ./photographs   from photographs of your own
  okedit eval okedit-pictures/test.json --limit 100
"""


class Action(str, Enum):
    build = "build"


def dataset(
    action: Annotated[Action, typer.Argument(help="build: make the data set.", metavar="build")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes: a new or empty folder.")],
    seed: Annotated[int, typer.Option("--seed", help="Decides every choice in it.")] = 0,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Make okedit-photographs from the photographs here; index.json says what they show.",
        ),
    ] = None,
    packages: Annotated[
        Path | None,
        typer.Option(
            "--packages",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Take the packages' archives from here; nothing is fetched.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a package cannot be had.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a data set of edits to measure with.

    okedit-pictures has edits on drawings, flags, stamps and photographs, to fit on and to test on.

    npm and apt-get fetch the packages it is made of, once, into the cache (OKEDIT_HOME); the card in
    DIR/README.md names them with their licences.

    With --from it is okedit-photographs: edits on things that FOLDER has several photographs of, to calibrate
    on and to report. Its index.json is a list of {file, thing, kind, group}. The counts are printed.
    """
    out = Output(json=json, quiet=quiet)
    if source is not None:
        if packages is not None or strict:
            raise UsageError("--from is given with --packages or --strict, expected one source of pictures.")
        _from_photographs(out, source, folder, seed, force)
        return
    from okedit_cli.dataset.build import build
    from okedit_cli.dataset.sources import KINDS

    with out.progress() as progress:
        made = build(
            folder,
            seed=seed,
            packages=packages,
            strict=strict,
            force=force,
            progress=progress,
            warn=out.warn,
        )
    _tell(out, made.folder, made.cases, KINDS, made.pictures, {"missing": made.missing})


def _from_photographs(out: Output, source: Path, folder: Path, seed: int, force: bool) -> None:
    from okedit_cli.dataset.photoset.build import ITEM, KIND, build_from

    with out.progress() as progress:
        made = build_from(source, folder, seed=seed, force=force, progress=progress)
    _tell(out, made.folder, made.cases, (KIND, ITEM), made.pictures, {})


def _tell(
    out: Output,
    folder: Path,
    cases: Mapping[str, Counter[str]],
    kinds: Sequence[str],
    pictures: int,
    more: Mapping[str, object],
) -> None:
    """Cases by split and kind as a table, or with all else as a JSON object."""
    if out.json:
        counts = {split: {kind: its[kind] for kind in kinds} for split, its in cases.items()}
        out.json_object({"folder": folder, "cases": counts, "pictures": pictures, **more})
        return
    out.table(
        ["split", *(f"{kind}s" for kind in kinds), "all"],
        [[split, *(str(its[kind]) for kind in kinds), str(its.total())] for split, its in cases.items()],
    )
    out.say(f"{pictures} pictures in {folder}; its card is {folder / 'README.md'}")
