"""The one place that writes: answers and data to stdout, all talk to stderr.

Text of users and models is never read as Rich markup, and its control characters are shown, not sent.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

ProgressCall = Callable[[str, int, int], None]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Output:
    """Where one command's words go. quiet: data, warnings and errors only; json: for the command to ask."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)

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
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[str] = ()
    ) -> None:
        """The first column and those of `words` to the left, others to the right; not cut off a terminal."""
        width = None if sys.stdout.isatty() else 10_000
        console = Console(markup=False, highlight=False, emoji=False, width=width)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for index, name in enumerate(columns):
            table.add_column(
                name, justify="right" if index and name not in words else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        console.print(table)

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
        """A call (stage, done, total) with one bar a stage, on a terminal only; total 0: not known."""
        if self.quiet or not self._console.is_terminal:
            yield lambda stage, done, total: None
            return
        words = TextColumn("{task.description}", markup=False)
        spent, left = TimeElapsedColumn(), TimeRemainingColumn()
        columns = (words, BarColumn(), MofNCompleteColumn(), spent, left)
        bars = Progress(*columns, console=self._console, transient=True)
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(visible(stage), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        with bars:
            yield show


def visible(text: str) -> str:
    """text with its control characters written out: it cannot move a terminal's cursor or set its title."""
    return text.translate(_CONTROLS)


def plain(value: Any) -> Any:
    """value as JSON has it: dataclasses as objects, paths as text, endless numbers (open radius) as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a tensor or numpy number
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def prepare(*streams: TextIO) -> None:
    """Let streams show what their encoding lacks as escapes, not fail in the middle of an answer."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
