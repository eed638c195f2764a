"""Questions line by line: a loop that one bad line does not end. Not here: how a question is answered."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..facts.stand_ins import is_url
from .failures import failure
from .output import Output
from .streams import utf8_argument, utf8_bytes

HELP = "One question a line; /image FILE changes the picture, /image alone takes it away, /quit ends."


def loop(
    ask: Callable[[str, Any, str | None], None],
    shown: tuple[Any, str | None],
    look: Callable[[str], Any],
    out: Output,
) -> None:
    """Hand each line of stdin to `ask` with the picture and its name, until /quit or the end; `look` opens a
    picture by its name.

    What goes wrong with a line is told, under --json as an object of its own, and the next line is read.
    After a picture that cannot be opened no question is asked until there is one, or none is wanted.
    """
    out.say(HELP)
    missing = ""
    for number, line in enumerate(_lines(), 1):
        text = None
        try:
            what = f"Line {number}"
            text = (utf8_bytes(line, what) if isinstance(line, bytes) else utf8_argument(line, what)).strip()
            command, _, rest = text.partition(" ")
            if command == "/quit":
                return
            if command == "/image":
                missing = rest.strip()
                shown, missing = _picture(missing, look), ""
            elif text.startswith("/") and text[1:].isalpha():
                raise UsageError(f"There is no {text} here.", hint=HELP)
            elif text and missing:
                raise UsageError(
                    f"The question was not asked, since {missing} could not be opened.", hint=HELP
                )
            elif text:
                ask(text, *shown)
        except BrokenPipeError:
            raise
        except Exception as error:
            _tell(error, number, text, out)


def _lines() -> Iterator[str | bytes]:
    """What is typed on a terminal, with a prompt; else the bytes of each line of stdin."""
    if not sys.stdin.isatty():
        yield from sys.stdin.buffer
        return
    with suppress(ImportError):
        import readline  # noqa: F401  input() edits and recalls lines with it
    sys.stdin.reconfigure(errors="surrogateescape")
    while True:
        try:
            yield input("> " if sys.stdout.isatty() else "")
        except EOFError:
            return


def _picture(name: str, look: Callable[[str], Any]) -> tuple[Any, str | None]:
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if not name:
        return None, None
    return look(name if is_url(name) else str(Path(name).expanduser())), name


def _tell(error: Exception, number: int, text: str | None, out: Output) -> None:
    if os.environ.get("OKEDIT_DEBUG"):
        sys.stderr.write("".join(traceback.format_exception(error)))
    found = failure(error)
    message = found.message if sys.stdin.isatty() else f"line {number}: {found.message}"
    if out.json:
        out.json_object({"error": found.message, "hint": found.hint, "prompt": text, "line": number})
    out.error(message, found.hint)
