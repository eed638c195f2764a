"""What of a long piece of work is done: one file for each part, in a folder beside the result.

A part is found again by its key, a sha256 over all that it depends on. Files appear whole or not at all, so
that a kill at any moment loses no more than the parts that were at work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from okedit_cli.bundle.atomic import atomic_write
from okedit_cli.bundle.lock import held
from okedit_cli.errors import OkeditError, UsageError

ENDING = ".shards"
MARK = "okedit-shards/1"
LOCK = "okedit-shards.lock"


def state_of(result: Path) -> Path:
    """Where the state of a result lies."""
    return result.with_name(result.name + ENDING)


def key_of(*content: Any) -> str:
    """A sha256 over JSON values, cut to 32 digits."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class State:
    """The folder with what is done. One process at a time has it. Context: it is held, and let go."""

    def __init__(self, folder: Path) -> None:
        """UsageError: there is a file of that name; OkeditError: it cannot be written, or is in use."""
        self.folder, self._lock = folder, None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileExistsError:
            raise UsageError(
                f"{folder} is a file, expected the folder for what is done.", hint="Name another -o."
            ) from None
        except OSError as error:
            raise OkeditError(
                f"{folder} cannot be written: {error.strerror}.", hint="Name another -o."
            ) from None
        if not held(self._lock):
            os.close(self._lock)
            self._lock = None
            raise OkeditError(
                f"{folder}: another okedit is at work on this very result.",
                hint="Wait for it, or name another file with -o.",
            )

    def parts(self, kind: str) -> Iterator[dict[str, Any]]:
        """All parts of a kind that are whole."""
        for path in sorted(self.folder.glob(f"{kind}-*.json")):
            if (found := _read(path)) is not None:
                yield found

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """One part by its key; None where it is not done."""
        return _read(self.folder / f"{kind}-{key}.json")

    def put(self, kind: str, key: str, value: dict[str, Any], data: bytes = b"") -> None:
        """Keep a part: JSON, and the content of a file of its own, which is there first."""
        if data:
            with atomic_write(self.file(kind, key)) as file:
                file.write(data)
        with atomic_write(self.folder / f"{kind}-{key}.json") as file:
            text = json.dumps({"format": MARK, "key": key, **value}, ensure_ascii=False)
            file.write(text.encode("utf-8", "surrogatepass"))

    def file(self, kind: str, key: str) -> Path:
        """The file of a part."""
        return self.folder / f"{kind}-{key}.safetensors"

    def is_empty(self) -> bool:
        """Whether nothing is done."""
        return not any(self.folder.glob("*.json"))

    def close(self) -> None:
        """Let go of the folder; it stays where anything is done."""
        if self._lock is None:
            return
        if self.is_empty():
            with suppress(OSError):  # there may be something of the user's in it
                (self.folder / LOCK).unlink()
                self.folder.rmdir()
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> State:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == MARK else None
