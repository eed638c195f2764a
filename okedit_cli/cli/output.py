"""The one place that writes: answers and data to stdout, all talk to stderr.

Text of users and models is never read as Rich markup, and its control characters are shown, not sent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from ..scope.explain import plain
from .layout import print_table
from .progress import ProgressCall, bars, lines

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Output:
    """Where one command's words go. quiet: data, warnings and errors only; json: for the command to ask."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._console = _Talk(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)

    # stdout: data

    def line(self, text: str) -> None:
        self.stream(text + "\n")

    def stream(self, text: str) -> None:
        """A piece of an answer, shown at once."""
        sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def json_object(self, value: dict[str, Any]) -> None:
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        self.stream(json.dumps(plain(value), ensure_ascii=ascii_only, allow_nan=False) + "\n")

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        words: Sequence[str] = (),
        spare: Sequence[str] = (),
    ) -> None:
        """The first column and those of `words` to the left, others to the right; not cut off a terminal.

        On a narrow one `words` are wrapped and columns of `spare` left out, which is said; see layout.py.
        """
        width = None if sys.stdout.isatty() else 10_000
        console = Console(markup=False, highlight=False, emoji=False, width=width)
        cells = [[visible(cell) for cell in row] for row in rows]
        left_out = print_table(console, columns, cells, texts=words, spare=spare)
        if left_out:
            self.say(f"not shown on a terminal as narrow as this: {', '.join(left_out)}; --json has all")

    # stderr: talk

    def say(self, text: str) -> None:
        if not self.quiet:
            self.note(text)

    def note(self, text: str) -> None:
        """What was asked for, and so is said even when quiet."""
        self._console.print(Text(visible(text)))

    def warn(self, text: str) -> None:
        self._console.print(Text.assemble(("warning: ", "bold yellow"), visible(text)))

    def error(self, message: str, hint: str | None = None) -> None:
        self._console.print(Text.assemble(("error: ", "bold red"), visible(message)))
        if hint:
            self._console.print(Text.assemble(("hint: ", "bold"), visible(hint)))

    @contextmanager
    def progress(self) -> Iterator[ProgressCall]:
        """A call (stage, done, total): one bar a stage on a terminal, elsewhere a line now and then; total 0:
        not known.
        """
        if self.quiet:
            yield lambda stage, done, total: None
        elif self._console.is_terminal:
            with bars(self._console, visible) as show:
                yield show
        else:
            with lines(self.say) as show:
                yield show


class _Talk(Console):
    """stderr: where nobody reads it any more, the work goes on without a word."""

    def on_broken_pipe(self) -> None:
        """In place of Rich's, which ends the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def visible(text: str) -> str:
    """text with its control characters written out: it cannot move a terminal's cursor or set its title."""
    return text.translate(_CONTROLS)
