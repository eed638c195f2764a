"""A data set's file as rows: JSON, or JSON Lines, and nothing that JSON is not.

What the fields of a row mean is the readers' concern; here a broken file is told with its line.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts.stand_ins import PULL, is_lfs_pointer

MAX_REPORTED = 20
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_LISTS = ("annotations", "data", "cases")  # keys that a file may keep its rows under


class Number(float):
    """A number with its own spelling, so that 1.10 stays 1.10; NaN and the infinities are `missing` ones."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    @property
    def missing(self) -> bool:
        return self.text in _NO_NUMBERS


def read_rows(path: Path) -> tuple[list[Any], str]:
    """The rows and the file's sha256. InvalidFacts: not there, a pointer, no JSON, no list of rows, empty."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidFacts(f"{path} is not there, expected a data set in JSON or a fact file.") from None
    except IsADirectoryError:
        raise InvalidFacts(f"{path} is a folder, expected a data set in JSON or a fact file.") from None
    value = parsed(path, data)
    if isinstance(value, dict):
        value = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), [value])
    if not isinstance(value, list):
        raise InvalidFacts(f"{path} is {kind_of(value)}, expected a list of rows.")
    if not value:
        raise InvalidFacts(f"{path} has no rows, expected at least one case.")
    return value, hashlib.sha256(data).hexdigest()


def parsed(path: Path, data: bytes) -> Any:
    """The JSON in the content of `path`; of JSON Lines the list of what stands in its lines."""
    if is_lfs_pointer(data):
        raise InvalidFacts(f"{path} is a Git LFS pointer, not the data set itself.", hint=PULL)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidFacts(f"{path}: line {line} is not UTF-8 text, expected JSON in UTF-8.") from None
    try:
        return _loads(text)
    except ValueError as whole:
        return _lines(path, text, whole)
    except RecursionError:
        raise InvalidFacts(f"{path} is nested too deeply, expected a list of rows.") from None


def _lines(path: Path, text: str, whole: ValueError) -> list[Any]:
    """The lines of JSON Lines, which end at \\n only: texts may hold every other separator of lines."""
    rows, broken = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(_loads(line))
            except (ValueError, RecursionError) as error:
                broken.append(f"{path}: line {number} is not JSON: {_why(error)}.")
    if not broken:
        return rows
    objects = sum(isinstance(row, dict) for row in rows) if text.lstrip().startswith("{") else 0
    if path.suffix.lower() in (".jsonl", ".ndjson") or objects >= max(1, len(broken)):
        more = len(broken) - MAX_REPORTED
        tail = [f"... and {more} more"] if more > 0 else []
        raise InvalidFacts("\n".join([*broken[:MAX_REPORTED], *tail])) from None
    line = f": line {whole.lineno}" if isinstance(whole, json.JSONDecodeError) else ""
    raise InvalidFacts(f"{path}{line} is not JSON: {_why(whole)}.") from None


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_constant=Number)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def kind_of(value: Any) -> str:
    """What a value of JSON is, in words."""
    if value is None:
        return "null"
    if isinstance(value, Number):
        return f"{value.text}, an empty cell" if value.missing else "a number"
    names = {bool: "true or false", int: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
