"""okedit remove: edits out of a bundle, as if they had never been made."""

from __future__ import annotations

from typing import Annotated

import typer

import okedit_cli

from . import options
from .bundles import BundleArgument, local, named, size_of, writable
from .output import Output

EXAMPLES = """
  okedit remove bundles/facts.safetensors office-cat
  okedit remove bundles/facts.safetensors office-cat boss -o smaller.safetensors
  okedit remove hf://owner/name office-cat -o smaller.safetensors --json
"""


def remove(
    bundle: BundleArgument,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Edits, by the ids of `okedit show`.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here instead. [default: the bundle itself]"),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove edits from a bundle; needs no model.

    Edits whose reach a merge had cut because of them grow back. The file is replaced whole or not at all.
    """
    from ..bundle.remove import remove as remove_edits
    from ..errors import UsageError

    out = Output(json=json, quiet=quiet)
    target = writable(output or bundle) if output or not _missing(bundle) else None
    opened = okedit_cli.Bundle.load(local(bundle))
    try:
        left, report = remove_edits(opened, ids)
    except UsageError as error:
        raise named(error, bundle) from None
    left.save(target)
    removed = list(dict.fromkeys(ids))
    if out.json:
        out.json_object({"bundle": target, "removed": removed, "edits": len(left),
                         "forgotten": report.forgotten})  # fmt: skip
        return
    for name in removed:
        out.line(f"removed: {name}")
    for name in report.forgotten:
        out.say(f"record forgotten: {name}")
    out.say(f"bundle: {target}, {size_of(target)}, {len(left)} edits")


def _missing(bundle: str) -> bool:
    """No such file here: opening it will say so better than asking where to write."""
    from pathlib import Path

    from ..bundle.hub import is_hub

    return not is_hub(bundle) and not Path(bundle).is_file()
