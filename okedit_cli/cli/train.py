"""okedit train: an editor for a model, of a method that has one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import options
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit train mend fit.json -m okedit-mini
  okedit train mend fit.json zsre.json --rows 500 --held-out 20 --minutes 60
  okedit train ke zsre.json -m gpt2 --set batch=4 -o ke-gpt2.safetensors
"""


def train(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="mend, ke or serac.")],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA.json...", help="Example edits: rows of zsRE, VLKEB, MMEdit or OKEDIT."),
    ],
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The editor's file. [default: where the method looks for it]"
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", min=0.01, help="Time to train for, over all runs.")
    ] = 20.0,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Steps to train for at most.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", metavar="N", min=1, help="Only the first N rows of each file.")
    ] = None,
    held_out: Annotated[
        int,
        typer.Option(
            "--held-out", metavar="N", min=0, help="Rows of each file that only losses are told on."
        ),
    ] = 10,
    settings: options.Settings = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where an interrupted run left a checkpoint.")
    ] = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    trust_remote_code: options.TrustRemoteCode = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", envvar="OKEDIT_SEED", min=0, help="Of all that is random.")
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the editor of a method that learns how to edit, for one model.

    Ctrl-C leaves a checkpoint beside the file, and the same command goes on from it.
    """
    from ..methods.registry import method_named

    out = Output(json=json, quiet=quiet)
    chosen = method_named(method)
    if chosen.train is None:
        raise UsageError(
            f"{method} has no editor that is trained.",
            hint="Those that have: mend, ke, serac (okedit methods).",
        )
    from ..methods.trained.making import check_data, make, training_settings

    training_settings(chosen, settings or ())
    check_data(data)
    loaded = open_model(
        model or options.DEFAULT_MODEL,
        out,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    with out.progress() as progress:

        def tell(stage: str, done: int, total: int) -> None:
            progress(stage, done, total)

        made = make(
            loaded,
            chosen,
            data,
            output=Path(output) if output else None,
            minutes=minutes,
            steps=steps,
            rows=rows,
            held_out=held_out,
            settings=settings or (),
            seed=seed,
            restart=restart,
            tell=tell,
        )
    if out.json:
        out.json_object({"editor": made.path, "bytes": made.size, **made.card})
        return
    out.table(("loss", "on rows trained on", "on rows held out"), _losses(made.card))
    out.line(f"{made.path}: {made.size / 1e6:.1f} MB, {made.card['steps']} steps")


def _losses(card: dict[str, Any]) -> list[list[str]]:
    trained, held = card["losses"]["trained on"], card["losses"]["held out"]
    return [
        [name, *(f"{part[name]:.4f}" if name in part else "-" for part in (trained, held))]
        for name in dict.fromkeys([*trained, *held])
    ]
