"""The command line: parse, call, render. One file a command; nothing else in the package imports this one."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """The console script `okedit`: runs one command and exits with its code."""
    from .app import run

    run(argv)
