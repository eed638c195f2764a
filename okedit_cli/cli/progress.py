"""How far a long piece of work is: bars on a terminal, a line every half minute elsewhere. Stderr alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

ProgressCall = Callable[[str, int, int], None]  # stage, done, total; total 0: not known

EVERY = 30.0  # seconds between two lines


@contextmanager
def bars(console: Console, shown: Callable[[str], str]) -> Iterator[ProgressCall]:
    """One bar a stage, gone at the end; `shown` makes a stage's name fit for a terminal."""
    words = TextColumn("{task.description}", markup=False)
    columns = (words, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    tasks = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(shown(stage), total=None)
        progress.update(tasks[stage], completed=done, total=total or None)

    with progress:
        yield show


@contextmanager
def lines(say: Callable[[str], None], every: float = EVERY) -> Iterator[ProgressCall]:
    """A line every so many seconds, also while one step takes longer than that; none for what is quick."""
    state = "at work"
    start, over = time.monotonic(), threading.Event()

    def show(stage: str, done: int, total: int) -> None:
        nonlocal state
        state = f"{stage}: {done} of {total}" if total else f"{stage}: {done}"

    def tell() -> None:
        while not over.wait(every):
            minutes, seconds = divmod(int(time.monotonic() - start), 60)
            say(f"{state}, {minutes}:{seconds:02d} so far")

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield show
    finally:
        over.set()
        thread.join()
