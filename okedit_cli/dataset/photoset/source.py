"""A folder of photographs: index.json says what each shows; the things in it are split in two."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from okedit_cli.dataset.photoset import SPLITS
from okedit_cli.errors import InvalidFacts, UsageError

INDEX = "index.json"
FIELDS = ("file", "thing", "kind", "group")
LEAST = (
    8  # photographs of a thing: two are edited, others are its other pictures, near ones, and given as well
)
_NOTICES = ("readme", "license", "licence", "notice", "copying")
_NOTICE_BYTES = 1 << 20


@dataclass(frozen=True, order=True)
class Item:
    """A thing that several photographs show; `files` are their names in the folder, sorted."""

    group: str
    kind: str
    thing: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Folder:
    """`notices`: name -> bytes of the files beside the photographs that tell their licence."""

    path: Path
    items: tuple[Item, ...]
    notices: dict[str, bytes]

    def splits(self) -> dict[str, tuple[Item, ...]]:
        """Things by split: in the order of group, kind and thing every second one, the first to calibrate."""
        return {name: self.items[place :: len(SPLITS)] for place, name in enumerate(SPLITS)}


def read_folder(path: Path) -> Folder:
    """The folder's things, in order. UsageError: no such folder, no index in it. InvalidFacts: an index that
    is not as expected, a photograph that is not there, too few things, or too few photographs of one.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder, expected one with photographs and {INDEX}.")
    files: dict[tuple[str, str, str], set[str]] = {}
    for number, row in enumerate(_rows(path / INDEX), 1):
        file, thing, kind, group = _fields(path / INDEX, number, row)
        if not (path / file).is_file():
            raise InvalidFacts(f"{path / INDEX}: row {number}: picture not found: {path / file}.")
        files.setdefault((group, kind, thing), set()).add(file)
    items = tuple(Item(*key, tuple(sorted(files[key]))) for key in sorted(files))
    few = next((item for item in items if len(item.files) < LEAST), None)
    if few:
        raise InvalidFacts(
            f"{path / INDEX} has {len(few.files)} photographs of {few.thing}, expected at least {LEAST}.",
            hint="Leave the thing out of the index, or add photographs of it.",
        )
    if len(items) < 2 * len(SPLITS):
        raise InvalidFacts(
            f"{path / INDEX} has {len(items)} things, expected at least {2 * len(SPLITS)}: half of them go to"
            " each split."
        )
    return Folder(path, items, _notices(path))


def _rows(path: Path) -> list:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path.parent} has no {INDEX}.",
            hint=f"It is a list of objects with {', '.join(FIELDS)}, one for each photograph.",
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidFacts(f"{path} is not JSON: {error}.") from None
    if not isinstance(rows, list) or not rows:
        raise InvalidFacts(f"{path} is no list of photographs, expected objects with {', '.join(FIELDS)}.")
    return rows


def _fields(path: Path, number: int, row: object) -> tuple[str, ...]:
    """The row's FIELDS, stripped; a file must lie in the folder."""
    values = [row.get(key) if isinstance(row, dict) else None for key in FIELDS]
    for key, value in zip(FIELDS, values, strict=True):
        if not isinstance(value, str) or not value.strip():
            raise InvalidFacts(f"{path}: row {number}: {key} is missing or no text.")
    name, *texts = (str(value) for value in values)
    file = PurePosixPath(name)
    if file.is_absolute() or ".." in file.parts or "\\" in name:
        raise InvalidFacts(f"{path}: row {number}: file {name} is not in the folder.")
    return (name, *(" ".join(text.split()) for text in texts))


def _notices(path: Path) -> dict[str, bytes]:
    """Files that tell where the photographs come from, as far as they are texts of usual size."""
    found = {}
    for file in sorted(path.iterdir()):
        named = file.name.lower().startswith(_NOTICES)
        if named and file.is_file() and file.stat().st_size <= _NOTICE_BYTES:
            found[file.name] = file.read_bytes()
    return found
