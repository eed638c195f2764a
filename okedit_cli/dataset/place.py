"""A data set's folder: written beside its place, then renamed, so that it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from okedit_cli.bundle.atomic import check_writable
from okedit_cli.errors import OkeditError, UsageError


def may_write(folder: Path, force: bool) -> None:
    """UsageError: the folder is a file, or has something in it and not `force`. OkeditError: it cannot be
    written, found out before anything is fetched.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, expected a folder or a new name.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"{folder} is not empty, expected an empty folder or a new name.",
            hint="--force puts the data set in its place, and removes what is there.",
        )
    whole = folder.absolute()
    check_writable(
        whole.with_name(f".{whole.name}") if folder.is_dir() else folder
    )  # made there, then renamed


@contextmanager
def placed(folder: Path, takes: str) -> Iterator[Path]:
    """A new folder to write to, which becomes `folder` at the end; `takes`: the room that it needs, in words.

    OkeditError: it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            os.chmod(beside, 0o755)
            yield beside
            _put(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise OkeditError(
            f"The data set cannot be written to {folder}: {error.strerror or error}.",
            hint=f"It takes about {takes}; name another folder, or make room.",
        ) from error


def _put(beside: Path, folder: Path) -> None:
    """Put the folder made beside in its place; what was there goes only once the new one is whole."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, old / folder.name)
    os.rename(beside, folder)
    if old is not None:
        shutil.rmtree(old)
