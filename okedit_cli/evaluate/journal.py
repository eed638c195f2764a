"""What a run has found out so far, line by line on disk: a run that was stopped goes on from there.

A first line says which run this is; each further line is [key, value]. A line that was torn by a kill is
dropped, and so is asked again. Without a path everything is kept in memory alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from okedit_cli.errors import UsageError


class Journal:
    """A mapping of keys to JSON values that survives the process."""

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        """UsageError when the file at `path` belongs to another run than `run` describes."""
        self.path = path
        self.resumed = 0  # entries found
        self._found: dict[str, Any] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        head = json.dumps({"okedit-eval": run}, sort_keys=True, ensure_ascii=False)
        whole = self._read(path, head) if path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        # the file is written anew rather than appended to, so that a torn line cannot swallow the next one
        rewritten = path.with_name(path.name + ".part")
        rewritten.write_text("".join(line + "\n" for line in (head, *whole)), encoding="utf-8")
        os.replace(rewritten, path)
        self._file = path.open("a", encoding="utf-8")

    def _read(self, path: Path, head: str) -> list[str]:
        """The whole lines of an earlier start of this very run."""
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
        if not lines[0].strip():
            return []
        if lines[0] != head:
            raise UsageError(
                f"{path} is the journal of another run: data, model, method or options differ.",
                hint="Name another file with --out, or remove the journal to start afresh.",
            )
        whole = []
        for line in lines[1:]:
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                continue  # torn
            self._found[key] = value
            whole.append(line)
        self.resumed = len(self._found)
        return whole

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def put(self, entries: Iterable[tuple[str, Any]]) -> None:
        """Keep entries, on disk before this returns."""
        entries = list(entries)
        if self._file is not None:
            lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in map(list, entries))
            self._file.write("".join(lines))
            self._file.flush()
        self._found.update(entries)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """The run is over and its result written: the file is not needed any more."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
