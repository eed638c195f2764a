"""okedit setup: fetch and assemble the built-in model."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .output import Output

EXAMPLES = """
  okedit setup                 fetch and assemble okedit-mini, once
  okedit setup --force         build it again
  OKEDIT_HOME=/data okedit setup
"""


def setup(
    force: Annotated[bool, typer.Option("--force", help="Build it again even if it is there.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch and assemble the built-in model, okedit-mini, and fetch the sentence encoder that tells
    questions apart.

    The model goes into the cache (OKEDIT_HOME); the folder is printed.
    """
    from okedit_cli.models import mini, sentences

    out = Output(json=json, quiet=quiet)
    with out.progress() as progress:
        folder = mini.ensure(progress=progress, force=force)
        sentences.ensure(progress=progress)
    if out.json:
        out.json_object({"model": options.DEFAULT_MODEL, "folder": folder})
    else:
        out.line(str(folder))
