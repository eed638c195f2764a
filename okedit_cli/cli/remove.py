"""okedit remove: edits out of a bundle, as if they had never been made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import okedit_cli

from . import options
from .bundles import BundleArgument, local, named, one_line, size_of
from .output import Output
from .targets import BUNDLE, Force, writable_target

EXAMPLES = """
  okedit remove bundles/facts.safetensors office-cat
  okedit remove bundles/facts.safetensors office-cat boss -o smaller.safetensors
  okedit remove bundles/facts.safetensors 'office-*' 'price-202?'
  okedit remove hf://owner/name office-cat -o smaller.safetensors --json
"""


def remove(
    bundle: BundleArgument,
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...", help="Edits, by the ids of `okedit show`, or by patterns: 'office-*', quoted."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here instead. [default: the bundle itself]"),
    ] = None,
    force: Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove edits from a bundle; needs no model.

    The others stay as they were. What a merge had left out for them does not come back by itself, since the
    bundle holds no value of it; which edits these are is said. The file is replaced whole or not at all.
    """
    from ..bundle.hub import is_hub
    from ..bundle.lock import locked
    from ..bundle.remove import matching
    from ..bundle.remove import remove as remove_edits
    from ..errors import UsageError

    out = Output(json=json, quiet=quiet)
    if output is None and not is_hub(bundle) and not Path(bundle).is_file():
        okedit_cli.Bundle.load(bundle)  # says what is amiss; where to write is no question then
    target, source = writable_target(output or bundle, BUNDLE, force=force), local(bundle)
    with locked(target, tell=out.note):  # it may be the one that is read
        opened = okedit_cli.Bundle.load(source)
        try:
            removed = matching(opened, ids)
            left, report = remove_edits(opened, removed)
        except UsageError as error:
            raise named(error, bundle) from None
        left.save(target)
    if out.json:
        out.json_object({"bundle": target, "removed": removed, "edits": len(left),
                         "forgotten": report.records})  # fmt: skip
        return
    for name in removed:
        out.line(f"removed: {name}")
    for one in report.records:
        out.warn(
            f"{one.id} ({one_line(one.answer, 40)!r}), which a merge had left out for "
            f"{', '.join(one.preferred)}, does not come back by itself: this bundle holds no value of it. "
            "Merge a bundle that does, or teach it again."
        )
    out.say(f"bundle: {target}, {size_of(target)}, {len(left)} edits")
