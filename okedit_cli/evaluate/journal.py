"""What a run has found out so far, line by line on disk: a run that was stopped goes on from there.

A first line says which run this is; each further line is [key, value]. A line that was torn by a kill is
dropped, and so is asked again. One process at a time has the file. Without a path everything is kept in
memory alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from okedit_cli.bundle.lock import held
from okedit_cli.errors import OkeditError, UsageError

ENDING = ".journal"


def journal_of(result: Path) -> Path:
    """Where the journal of a result lies."""
    return result.with_name(result.name + ENDING)


def head_of(path: Path) -> Any:
    """Which run the journal at `path` is of, as given to Journal; None where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return json.loads(file.readline())["okedit-eval"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Journal:
    """A mapping of keys to JSON values that survives the process."""

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        """UsageError when the file at `path` belongs to another run than `run` describes, or is no journal;
        OkeditError when another process is writing it.
        """
        self.path = path
        self.resumed = 0  # entries found
        self._found: dict[str, Any] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # half characters are written as JSON escapes them
            self._file = path.open("a+", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"{path} cannot be opened: {error.strerror}.") from None
        try:
            self._resume(path, json.dumps({"okedit-eval": run}, sort_keys=True))
        except BaseException:
            self.close()
            raise

    def _resume(self, path: Path, head: str) -> None:
        """Find the whole lines of an earlier start of this very run, or start the file."""
        if not held(self._file.fileno()):
            raise OkeditError(
                f"{path}: another okedit is at work on this very evaluation.",
                hint="Wait for it, or name another file with -o.",
            )
        self._file.seek(0)
        first, *lines = self._file.read().split("\n")
        if not lines and head.startswith(first):  # nothing yet, or torn within its first line
            self._file.truncate(0)
            self._write([head])
            return
        if first != head:
            raise UsageError(
                f"{path} is the journal of another run: data, model, method or options differ.",
                hint="Name another file with --out, or remove the journal to start afresh.",
            )
        for line in lines:
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                continue  # torn
            self._found[key] = value
        self.resumed = len(self._found)
        if lines[-1:] != [""]:
            self._write([""])  # so that a torn line does not swallow the next one

    def _write(self, lines: Iterable[str]) -> None:
        self._file.write("".join(line + "\n" for line in lines))
        self._file.flush()

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def put(self, entries: Iterable[tuple[str, Any]]) -> None:
        """Keep entries, on disk before this returns."""
        entries = list(entries)
        if self._file is not None:
            self._write(json.dumps(entry, ensure_ascii=False) for entry in map(list, entries))
        self._found.update(entries)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """The run is over and its result written: the file is not needed any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
