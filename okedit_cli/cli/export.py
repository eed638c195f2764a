"""okedit export: a bundle as a folder for the hub, on the hub, as a fact file again, or in another
program's form.

`--to memory` and `--to peft` name a form, and -o says where it goes; anything else that --to names is a
place. A folder of such a name is written ./memory or memory/.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .bundles import BundleArgument, local
from .output import Output
from .targets import FACTS, Force, writable_folder, writable_target

EXAMPLES = """
  okedit export bundles/facts.safetensors --to facts-folder
  okedit export bundles/facts.safetensors --to facts.yaml
  okedit export bundles/facts.safetensors --to hf://owner/name --private
  okedit export bundles/facts.safetensors --to memory -o memory.safetensors
  okedit export bundles/facts.safetensors --to peft -o adapters -m okedit-mini
"""
FORMS = ("memory", "peft")


def export(
    bundle: BundleArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="DIR|FILE.yaml|hf://owner/name|memory|peft",
            help="A folder, a fact file, or a hub repository; or a form: memory, a text memory for the "
            "gateway, peft, a LoRA folder for each edit.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="Of --to memory, the file; of --to peft, the folder. [default: beside BUNDLE]",
        ),
    ] = None,
    image_encoder: Annotated[
        str,
        typer.Option(
            "--image-encoder",
            metavar="NAME",
            help="Of --to memory: hub id or folder of what keys pictures. [default: okedit-mini's tower]",
        ),
    ] = "",
    pictures: Annotated[
        str | None,
        typer.Option(
            "--pictures",
            metavar="DIR",
            help="With memory and peft: a folder with the pictures of facts that the bundle does not hold.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="Of --to peft. [default: the bundle's own]"),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new hub repository private.")] = False,
    force: Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a bundle: a folder with the bundle and a README card, the same on the hub, or its facts as YAML.

    A fact file gets the pictures that the bundle holds (`okedit edit --with-sources`) in a folder beside
    it. A text memory holds what `okedit gateway` decides by; a LoRA says what an edit's value says, as near
    as one can.
    """
    if to in FORMS:
        from .exporting import Wanted, in_form

        if private:
            raise UsageError(f"--private is for repositories on the hub, and --to {to} writes here.")
        wanted = Wanted(bundle, output, image_encoder, pictures, model, force)
        in_form(to, wanted, Output(json=json, quiet=quiet))
        return
    given = {"-o": output, "--image-encoder": image_encoder, "--pictures": pictures, "-m": model}
    if odd := next((name for name, value in given.items() if value), None):
        raise UsageError(
            f"{odd} is for --to memory and --to peft, and --to names a place here: {to}.",
            hint="A folder called memory is written ./memory.",
        )
    from ..bundle.hub import check_target, is_hub, push_folder

    out = Output(json=json, quiet=quiet)
    if private and not is_hub(to):
        raise UsageError("--private is for repositories on the hub, and --to names a file or folder here.")
    source, target, missing = local(bundle), to, {}
    if is_hub(to):
        check_target(to)
    from ..bundle.export import write_facts, write_folder  # slow, so only once the target is known to be good

    if is_hub(to):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "export"
            facts = len(write_folder(source, folder, place=to))
            target = push_folder(to, folder, private=private)
    elif Path(to).suffix.lower() in (".yaml", ".yml"):
        missing = write_facts(source, writable_target(to, FACTS, force=force, option="--to"))
        facts = None
    else:
        facts = len(write_folder(source, _folder(to), replace=force))
    if out.json:
        out.json_object({"bundle": bundle, "to": target, "missing_pictures": missing})
        return
    out.line(target)
    if missing:
        _tell_missing(out, missing)
    if facts is not None:
        out.say(f"exported: {facts} edits with their card")


def _folder(to: str) -> Path:
    """The folder that --to names; what looks like the name of a file is told, not made a folder of."""
    path = Path(to)
    ending = path.suffix[1:]
    if not path.exists() and not to.endswith(("/", os.sep)) and ending.isalpha() and ending.isascii():
        raise UsageError(
            f"--to {to} looks like a file, expected a folder, a .yaml file or hf://owner/name.",
            hint=f"--to {path.with_suffix('.yaml')} writes the facts, --to {to}/ the bundle and its card.",
        )
    return writable_folder(path)


def _tell_missing(out: Output, missing: Mapping[str, list[str]]) -> None:
    names = ", ".join(list(missing)[:10]) + (", ..." if len(missing) > 10 else "")
    out.warn(
        f"the bundle does not hold the pictures of {len(missing)} facts ({names}); the file names them "
        "not-in-the-bundle-..., put yours in their place. `okedit edit --with-sources` embeds pictures."
    )
