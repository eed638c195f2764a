"""Bundles as commands take them: files here or on the hub in, and names of files to write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidBundle, OkeditError, UsageError

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A bundle: a file, or hf://owner/name.")
]


def local(name: str) -> Path:
    """The bundle's file; one on the hub is downloaded into the hub's own cache."""
    from ..bundle.hub import fetch_bundle, is_hub

    return fetch_bundle(name) if is_hub(name) else Path(name)


def writable(target: str | Path, stem: str = "bundle") -> Path:
    """Where a bundle may go, found out before the work: never over a file that is no bundle."""
    from ..bundle.hub import is_hub

    if is_hub(str(target)):
        raise UsageError(
            f"{target} is on the hub, expected the name of a file to write.",
            hint="Write a file, then `okedit export FILE --to hf://owner/name`.",
        )
    target = Path(target)
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


def size_of(path: Path) -> str:
    return in_bytes(path.stat().st_size)


def in_bytes(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1e3:.1f} kB"


def site_words(site: dict[str, Any]) -> str:
    """The site in words; the sentence encoder's "layer" -1 goes without saying beside its name."""
    told = {name: value for name, value in site.items() if (name, value) != ("key_layer", -1)}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())


def number(value: Any) -> str:
    """A distance to three figures, "-" where there is none, "any" for a radius without end."""
    if not isinstance(value, (int, float)) or value != value:
        return "-"
    return "any" if value == float("inf") else f"{float(value):.3g}"


def one_line(text: Any, limit: int = 80) -> str:
    """text for a cell of a table."""
    text = " ".join(str(text).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def named(error: OkeditError, path: Path | str) -> OkeditError:
    """The error with the bundle's name, where it does not say it yet."""
    if str(path) in error.message:
        return error
    return type(error)(f"{path}: {error.message}", hint=error.hint)
