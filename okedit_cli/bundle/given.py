"""Bundles as callers of the Python API give them: one or several, opened already or by the names of files."""

from __future__ import annotations

import os
from collections.abc import Iterable

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.hub import fetch_bundle, is_hub
from okedit_cli.errors import UsageError

Given = Bundle | str | os.PathLike[str]


def bundles_of(given: Given | Iterable[Given]) -> list[Bundle]:
    """Bundles from a bundle, a path or hf://owner/name of one, or several of these.

    UsageError for anything else; InvalidBundle for a file that is none.
    """
    several = [given] if isinstance(given, (Bundle, str, os.PathLike)) else given
    if not isinstance(several, Iterable):
        raise _no_bundle(several)
    return [_bundle(one) for one in several]


def _bundle(one: Given) -> Bundle:
    if isinstance(one, (str, os.PathLike)):
        return Bundle.load(fetch_bundle(os.fspath(one)) if is_hub(one) else one)
    # duck-typed, as all else: what is attached needs a manifest and edits
    if hasattr(one, "manifest") and hasattr(one, "edits"):
        return one
    raise _no_bundle(one)


def _no_bundle(value: object) -> UsageError:
    return UsageError(
        f"{type(value).__name__} is no bundle, expected a Bundle, the path of one, or a list of these.",
        hint="okedit_cli.Bundle.load(path), or the `bundle` of what okedit_cli.fit returns.",
    )
