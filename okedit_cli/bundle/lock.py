"""One writer at a time: a lock on a file, and on a bundle while it is read, changed and written back.

The lock is the system's own on the open file (flock): a process that was killed leaves none behind, and there
is no lock file. Where the system has no such lock nothing is held. Not here: writing itself (atomic.py).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from okedit_cli.errors import OkeditError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE = 600.0  # seconds that a writer waits for another one
NOTICE = 2.0  # seconds after which the wait is told
_PAUSE = 0.05


def held(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; False: another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # other errors come from file systems that have no locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextmanager
def locked(
    path: str | os.PathLike, *, tell: Callable[[str], None] | None = None, patience: float = PATIENCE
) -> Iterator[None]:
    """The only one at work on the bundle at `path` while it lasts; nothing is locked where no file is.

    Read the bundle inside, not before. `tell` gets a sentence when this takes a while. OkeditError: another
    process did not let go of it for `patience` seconds. Not to be nested.
    """
    began, told = time.monotonic(), False
    while (descriptor := _opened(path)) is not None and not _current(descriptor, path):
        os.close(descriptor)
        waited = time.monotonic() - began
        if waited > patience:
            raise OkeditError(
                f"{os.fspath(path)}: another okedit has been writing it for {waited:.0f} seconds; nothing "
                "was changed.",
                hint="Try again when that one is done.",
            )
        if tell is not None and not told and waited > NOTICE:
            told = True
            tell(f"{os.fspath(path)}: another okedit is writing it, waiting.")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)  # and with it the lock


def _opened(path: str | os.PathLike) -> int | None:
    """The file, open for locking; None where there is none, or one that may not be opened."""
    if not Path(path).is_file():
        return None
    for mode in (os.O_RDWR, os.O_RDONLY):  # network file systems lock what is open for writing alone
        try:
            return os.open(path, mode | os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else mode)
        except OSError:
            continue
    return None


def _current(descriptor: int, path: str | os.PathLike) -> bool:
    """Take the lock; False: another has it, or has replaced the file meanwhile."""
    if not held(descriptor):
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
