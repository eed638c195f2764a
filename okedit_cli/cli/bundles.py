"""Bundles as commands take them, files here or on the hub, and what tables say of them.

What may be written is for targets.py to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OkeditError

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A bundle: a file, or hf://owner/name.")
]


def local(name: str) -> Path:
    """The bundle's file; one on the hub is downloaded into the hub's own cache."""
    from ..bundle.hub import fetch_bundle, is_hub

    return fetch_bundle(name) if is_hub(name) else Path(name)


def size_of(path: Path) -> str:
    return in_bytes(path.stat().st_size)


def in_bytes(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1e3:.1f} kB"


def site_words(site: dict[str, Any]) -> str:
    """The site in words; the sentence encoder's "layer" -1 goes without saying beside its name."""
    if "sites" in site:  # of a weight delta
        return ", ".join(map(str, site["sites"]))
    told = {name: value for name, value in site.items() if (name, value) != ("key_layer", -1)}
    told = {name: len(value) if isinstance(value, list) else value for name, value in told.items()}
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
