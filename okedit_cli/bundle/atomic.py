"""Whole files or none: written beside the target, flushed, renamed. A kill leaves the old file or the new."""

from __future__ import annotations

import errno
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from okedit_cli.errors import OkeditError

ABANDONED = 3600.0  # seconds without a write after which a temporary file is nobody's
_HINTS = {
    errno.ENOSPC: "Free some space, or write to another disk with -o.",
    errno.EDQUOT: "Free some space, or write to another disk with -o.",
    errno.EFBIG: "Write to a disk that takes files of this size with -o.",
    errno.EACCES: "Write to a folder of yours with -o.",
    errno.EPERM: "Write to a folder of yours with -o.",
    errno.EROFS: "Write to a folder that is not read-only with -o.",
}


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends well, and vanishes when it does not.

    Makes missing folders, follows a symbolic link at `path`, keeps the mode of the file it replaces. Two
    writers of one name: the last wins, whole. OkeditError (exit 1) says what the disk or the folder refused.
    """
    shown = os.fspath(path)
    try:
        target = Path(os.path.realpath(shown))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(target)
        _sweep(target)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
    except (OSError, ValueError) as error:
        raise _in_words(shown, error) from None
    try:
        with os.fdopen(descriptor, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
        name = ""
        _sync_folder(target.parent)
    except OSError as error:
        raise _in_words(shown, error) from None
    finally:
        if name:
            try:
                os.unlink(name)
            except OSError:
                pass  # the folder itself may be gone; the first error is the one to tell


def check_writable(path: str | os.PathLike) -> None:
    """OkeditError unless a file can be written at `path`, found out by trying: what the system says of rights
    is not the whole of it. Folders that had to be made are taken away again.
    """
    shown, made = os.fspath(path), []
    try:
        target = Path(os.path.realpath(shown))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "it is not an ordinary file")
        folder = target.parent
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        target.exists()  # the system refuses a name that is too long
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise _in_words(shown, error) from None
    finally:
        for one in made:
            try:
                one.rmdir()
            except OSError:
                break


def _sweep(target: Path) -> None:
    """Remove what writers of this name left behind when they were killed; a writer at work is younger."""
    for leftover in target.parent.glob(f".{glob.escape(target.name[:100])}.*.tmp"):
        try:
            if time.time() - leftover.stat().st_mtime > ABANDONED:
                leftover.unlink()
        except OSError:
            pass  # another writer was faster, or it is not ours to remove


def _mode(target: Path) -> int:
    """The mode of the file to replace, or what a new file would get under the umask."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _in_words(shown: str, error: OSError | ValueError) -> OkeditError:
    reason = getattr(error, "strerror", None) or str(error)
    hint = _HINTS.get(getattr(error, "errno", None) or 0, "Check the path and the folder it is in.")
    return OkeditError(f"{shown}: the file could not be written ({reason}); nothing was changed.", hint=hint)
