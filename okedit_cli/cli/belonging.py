"""Bundles that a user names for a model: each must belong to it, and what differs is told."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ModelMismatch
from .bundles import local
from .loading import open_encoders
from .output import Output


def readable(names: Sequence[str]) -> list[Path]:
    """The files of -b, each once; one that is no bundle, or whose encoder is not to be had, is told before a
    model is loaded.
    """
    from ..bundle import read_manifest
    from ..bundle.site import encoders_of

    paths = [local(name) for name in dict.fromkeys(names)]
    for path in paths:
        open_encoders(**encoders_of(read_manifest(path).site))
    return paths


def check_named(paths: Sequence[Path], loaded: Any, out: Output, strict: bool) -> None:
    """ModelMismatch when one does not belong to the model."""
    for path in paths:
        try:
            check(path, loaded, out, strict)
        except ModelMismatch as error:
            raise ModelMismatch(f"{path}: {error.message}", hint=error.hint) from None


def check(path: Path, loaded: Any, out: Output, strict: bool, content: bool = False) -> None:
    """Say what differs between the model and the one that the bundle was made with; ModelMismatch where that
    is too much: under `content` other weights or settings, under `strict` anything.
    """
    from ..bundle import check_fit, read_manifest
    from ..models.fingerprint import fingerprint

    for warning in check_fit(read_manifest(path), fingerprint(loaded), strict=strict, content=content):
        out.warn(f"{path}: {warning}")


@contextmanager
def told_already() -> Iterator[None]:
    """Without the warnings that `check` has said with the file's name."""
    from ..bundle import FitWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        yield
