"""Facts and cases on their way to another machine: their pictures go along as bytes, and paths are put right.

Where a worker finds the very file at the same path, as on one machine or a shared disk, nothing is copied.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


def paths_in(value: Any) -> Iterator[Path]:
    """Every path in dataclasses, tuples, lists and dictionaries, as it comes."""
    if isinstance(value, Path):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from paths_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from paths_in(item)


def with_paths(value: Any, places: Mapping[Path, Path]) -> Any:
    """The same with each path exchanged for another; those that are not in `places` stay."""
    if not places:
        return value
    if isinstance(value, Path):
        return places.get(value, value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **{k: with_paths(v, places) for k, v in fields.items()})
    if isinstance(value, Mapping):
        return {k: with_paths(v, places) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(with_paths(item, places) for item in value)
    return value


def digests(value: Any) -> dict[Path, str]:
    """Path -> sha256 of each file that is named, sorted by path. OSError: one cannot be read."""
    return {path: sha256(path) for path in sorted(set(paths_in(value)))}


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(files: Mapping[Path, str]) -> dict[str, bytes]:
    """sha256 -> content of the files."""
    return {digest: path.read_bytes() for path, digest in files.items()}


def unpack(
    files: Mapping[Path, str], folder: Path, fetch: Callable[[], Mapping[str, bytes]]
) -> dict[Path, Path]:
    """Where files lie that are not here under their own paths: in `folder`, from what `fetch` gives by their
    sha256.

    Names keep the order of the paths, which decides what is asked together.
    """
    found, fetched = {}, None
    for number, (path, digest) in enumerate(files.items()):
        if path.is_file() and sha256(path) == digest:
            continue
        fetched = fetch() if fetched is None else fetched
        found[path] = folder / f"{number:08d}{path.suffix}"
        found[path].write_bytes(fetched[digest])
    return found
