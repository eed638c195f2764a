"""okedit doctor: what is at hand on this machine, and with -m what okedit finds in a model."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .bundles import in_bytes
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit doctor
  okedit doctor --json
  okedit doctor -m ./llava-1.5-7b-hf
"""

PACKAGES = ("torch", "transformers", "safetensors", "tokenizers", "huggingface_hub", "numpy", "pillow",
            "pyyaml", "typer", "rich", "gguf", "accelerate")  # fmt: skip
MISSING = "not installed"


def doctor(
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="Say instead what okedit finds in this model."),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say which versions, devices, models and bundles are at hand; with -m, how a model is edited and what an
    edit of it costs.

    Exit code 1: a package that okedit needs is not installed, or the model cannot be edited.
    """
    out = Output(json=json, quiet=quiet)
    if model is not None:
        loaded = open_model(
            model,
            out,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        from ..models.describe import describe

        found = describe(loaded)
        out.json_object(found) if out.json else _render_model(out, found)
        return
    found = {
        "okedit": _okedit(),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "home": _home(),
        "hub": _hub(),
        "bundles": _bundles(Path("bundles")),
    }
    if out.json:
        out.json_object(found)
    else:
        _render(out, found)
    missing = [name for name, version in found["packages"].items() if version == MISSING]
    if missing:
        out.error(f"Not installed: {', '.join(missing)}.", f"pip install {' '.join(missing)}")
        raise typer.Exit(1)


def _render(out: Output, found: dict[str, Any]) -> None:
    home, hub = found["home"], found["hub"]
    out.line(f"okedit          {found['okedit']}")
    out.line(f"python          {found['python']}")
    for name, version in found["packages"].items():
        out.line(f"{name:15} {version}")
    out.line(f"devices         {', '.join(found['devices'])}")
    out.line(f"home            {home['folder']}, {in_bytes(home['bytes'])}")
    ready = "assembled" if home["okedit_mini"] else "not set up yet (okedit setup)"
    out.line(f"okedit-mini     {ready}")
    offline = ", offline" if hub["offline"] else ""
    size = in_bytes(hub["bytes"])
    out.line(f"hub cache       {hub['folder']}, {size}, {len(hub['models'])} models{offline}")
    for name in hub["models"]:
        out.line(f"                {name}")
    out.line(f"bundles         {len(found['bundles'])} in ./bundles")
    for bundle in found["bundles"]:
        words = (
            bundle["problem"] or f"{bundle['facts']} edits for {bundle['model'] or 'a model without a name'}"
        )
        out.line(f"                {bundle['file']}: {words}")


def _render_model(out: Output, found: dict[str, Any]) -> None:
    cost, edits = found["cost"], found["edits"]
    longest = f", reads {found['longest']:,} tokens" if found["longest"] else ""
    out.line(f"class           {found['class']} ({found['type']}), {found['parameters']:,} parameters")
    out.line(f"on              {found['device']} in {found['dtype']}")
    out.line(f"decoder         {found['layers']} layers, {found['width']} wide{longest}")
    out.line(f"template        {found['template']}")
    out.line(f"values read     {edits['reads']}, and act on {edits['adds to']}")
    if found["pictures"] is not None:
        out.line(f"pictures        recognised by {found['pictures']}")
        out.line(f"                one of 640 x 480 takes {found['picture_tokens']:,} tokens")
    out.line(
        f"an edit         {cost['prompts_a_fact']} prompts of {in_bytes(cost['bytes_a_prompt'])} of keys and"
        f" values, {in_bytes(cost['bytes_at_once'])} at once over the model"
    )
    for limit in found["limits"]:
        out.line(f"not possible    {limit}")


def _okedit() -> str:
    from okedit_cli import __version__

    return __version__


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


def _devices() -> list[str]:
    cores = f"cpu ({os.cpu_count()} cores)"
    try:
        import torch
    except ImportError:
        return [cores]
    found = [cores]
    found += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def _home() -> dict[str, Any]:
    from okedit_cli.models import mini
    from okedit_cli.models.packages import okedit_home

    folder = okedit_home()
    return {"folder": folder, "bytes": _bytes_in(folder), "okedit_mini": mini.is_ready()}


def _hub() -> dict[str, Any]:
    try:
        from huggingface_hub import constants
    except ImportError:
        return {"folder": None, "bytes": 0, "models": [], "offline": False}
    folder = Path(constants.HF_HUB_CACHE)
    names = sorted(path.name for path in folder.glob("models--*")) if folder.is_dir() else []
    models = [name.removeprefix("models--").replace("--", "/", 1) for name in names]
    offline = bool(constants.HF_HUB_OFFLINE)
    return {"folder": folder, "bytes": _bytes_in(folder), "models": models, "offline": offline}


def _bundles(folder: Path) -> list[dict[str, Any]]:
    from ..bundle import read_manifest
    from ..errors import InvalidBundle

    found = []
    for path in sorted(folder.glob("*.safetensors")):
        entry: dict[str, Any] = {"file": path, "facts": None, "model": None, "problem": None}
        try:
            manifest = read_manifest(path)
            entry |= {"facts": len(manifest), "model": manifest.base.get("name")}
        except InvalidBundle as error:
            entry["problem"] = error.message
        found.append(entry)
    return found


def _bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; what may not be read counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass  # gone meanwhile, or not ours to look at
    return total
