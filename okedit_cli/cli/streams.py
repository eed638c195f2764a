"""The three standard streams as a command finds them: closed, not UTF-8, a pipe that nobody reads.

Not here: what is written to them (output.py), and how errors end (failures.py).
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from ..errors import UsageError


def open_streams() -> None:
    """A stream that was closed (`<&-`, `>&-`) becomes an empty one, so that no file opened later gets its
    number; what an encoding lacks is written as escapes, not an error in the middle of an answer.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritable() -> None:
    """Let go of streams that nobody reads or that are full: else Python complains when it flushes at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def hush_libraries() -> None:
    """Keep what libraries advise off stderr, which belongs to the command; OKEDIT_DEBUG lets it through.

    To be called before a library is imported: transformers reads its variable then.
    """
    if os.environ.get("OKEDIT_DEBUG"):
        return
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("HF_HUB_VERBOSITY", "error"),
                        ("TORCH_CPP_LOG_LEVEL", "ERROR"), ("HF_HUB_DISABLE_PROGRESS_BARS", "1")):  # fmt: skip
        os.environ.setdefault(name, value)
    # warnings of loggers that have no handler of their own would go to stderr
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("okedit").addHandler(logging.lastResort)  # what okedit itself has to say does


def utf8_argument(text: str, what: str) -> str:
    """The text of an argument; UsageError where its bytes were no UTF-8 (Python hands those on as lone
    surrogates).
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        byte = (
            f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"the lone surrogate U+{code:04X}"
        )
        raise _not_utf8(what, f"{byte} at character {error.start + 1}") from None
    return text


def utf8_bytes(data: bytes, what: str) -> str:
    """The text of bytes, with or without a byte order mark; UsageError where they are no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(what, f"byte 0x{data[error.start]:02x} at byte {error.start + 1}") from None


def _not_utf8(what: str, where: str) -> UsageError:
    return UsageError(f"{what} is not UTF-8: {where}.", hint="Give it as UTF-8; iconv converts other texts.")
