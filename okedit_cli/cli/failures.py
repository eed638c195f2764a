"""From exception to one sentence, one hint and one exit code; the only place where a command's errors end."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from ..errors import OkeditError
from .output import Output
from .streams import drop_unwritable

INTERRUPTED = 130
_DEBUG_HINT = "Set OKEDIT_DEBUG=1 for the traceback."


@dataclass(frozen=True)
class Failure:
    message: str
    hint: str | None = None
    exit_code: int = 1


def failure(error: BaseException) -> Failure:
    """What to tell the user about error."""
    if isinstance(error, OkeditError):
        return Failure(error.message, error.hint, error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure("Interrupted.", exit_code=INTERRUPTED)
    if _is_out_of_memory(error):
        return Failure(
            "Not enough memory.",
            "Try --dtype bfloat16, --device cpu, a smaller model or fewer facts at once.",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error)
    first = str(error).strip().splitlines()
    return Failure(f"{type(error).__name__}: {first[0] if first else 'no more is known'}", _DEBUG_HINT)


def _is_out_of_memory(error: BaseException) -> bool:
    # by name: torch must not be imported to tell an error of a command that never needed it
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or named or allocator


def _of_the_system(error: OSError) -> Failure:
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "a file"
    told = {
        errno.ENOENT: (f"{name} is not there.", None),
        errno.EACCES: (f"{name} may not be read or written by this user.", "Check its permissions."),
        errno.EPERM: (f"{name} may not be read or written by this user.", "Check its permissions."),
        errno.EROFS: (f"{name} is on a disk that cannot be written.", "Name another place with -o."),
        errno.EISDIR: (f"{name} is a folder, expected a file.", None),
        errno.ENOTDIR: (f"{name} lies below a file, expected a folder.", None),
        errno.ENOSPC: (f"No space left on the disk for {name}.", "Free some space and try again."),
    }
    message, hint = told.get(error.errno, (f"{name}: {error.strerror}.", _DEBUG_HINT))
    return Failure(message, hint)


def tell(error: BaseException) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    if os.environ.get("OKEDIT_DEBUG"):
        sys.stderr.write("".join(traceback.format_exception(error)))
    if isinstance(error, BrokenPipeError):
        drop_unwritable()  # the reader of a pipe has left, as head does: nothing to say
        return 1
    found = failure(error)
    Output().error(found.message, found.hint)
    drop_unwritable()
    return found.exit_code


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """command, whose exceptions all become a sentence and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(tell(error)) from None

    return run
