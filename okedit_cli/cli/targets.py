"""What a command may write to, found out before its work: no file of the user's is lost, no result comes to
nothing because its folder cannot be written. One rule for all commands; writing itself is bundle/atomic.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidBundle, UsageError

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there, whatever it is.")]


@dataclass(frozen=True)
class Kind:
    """A kind of file that commands write. `is_one`: whether a file that is there may be replaced by one."""

    words: str
    example: str
    is_one: Callable[[Path], bool]
    told: str = "{path} is there already and no {words}, so it stays as it is."


def _is_bundle(path: Path) -> bool:
    from ..bundle import read_manifest

    try:
        read_manifest(path)
    except InvalidBundle:
        return False
    return True


def _is_result(path: Path) -> bool:
    from ..evaluate.result import words_of

    return words_of(path) is not None


def _is_report(path: Path) -> bool:
    from ..evaluate.report.html import MARK

    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


BUNDLE = Kind(
    "bundle",
    "bundle.safetensors",
    _is_bundle,
    "{path} is there already and no bundle that okedit can read, so it stays as it is.",
)
# beside the bundles that edits were made into, nobody expects an export to take the place of one
MEMORY = Kind(
    "text memory",
    "memory.safetensors",
    lambda path: False,
    "{path} is there already, so it stays as it is.",
)
RESULT = Kind("result of okedit eval", "result.json", _is_result)
REPORT = Kind("report of okedit eval", "report.html", _is_report)
# somebody may have written it by hand, so that none gives way
FACTS = Kind("fact file", "facts.yaml", lambda path: False, "{path} is there already, so it stays as it is.")


def writable_target(
    path: str | Path,
    kind: Kind,
    *,
    force: bool = False,
    option: str = "-o",
    example: str = "",
    inputs: Sequence[str | Path] = (),
    beside: Sequence[str] = (),
) -> Path:
    """The path, when a file of this kind can be written there.

    UsageError: a file of another kind is there (unless `force`), a folder, or one of `inputs`, which the
    command reads or writes as well. OkeditError: the folder cannot be written. `beside` are endings of
    further names that will be written next to it.
    """
    from ..bundle.atomic import check_writable
    from ..bundle.hub import is_hub

    words, example = kind.words, example or kind.example
    if is_hub(str(path)):
        raise UsageError(
            f"{path} is on the hub, expected the name of a file to write.",
            hint="Write a file, then `okedit export FILE --to hf://owner/name`.",
        )
    if str(path) == "-":
        raise UsageError(f"{option} - : expected the name of a file, a {words} does not go to the output.")
    target = Path(path)
    if target.is_dir() or str(path).endswith(os.sep):
        raise UsageError(
            f"{path} is a folder, expected the name of the {words} to write.",
            hint=f"{option} {target / example}",
        )
    if any(_same(target, Path(other)) for other in inputs):
        raise UsageError(
            f"{option} {path} is a file that this command reads or writes already.",
            hint=f"Name another file with {option}.",
        )
    for name in (target, *(target.with_name(target.name + ending) for ending in beside)):
        check_writable(name)
    if not force and target.is_file() and target.stat().st_size and not kind.is_one(target):
        raise UsageError(
            kind.told.format(path=path, words=words),
            hint=f"Name another file with {option}, or remove this one; --force replaces it.",
        )
    return target


def writable_folder(path: str | Path, *, option: str = "--to") -> Path:
    """The path, when a folder is there or can be made, and can be written; what is in it is not judged."""
    from ..bundle.atomic import check_writable

    target = Path(path)
    if target.exists() and not target.is_dir():
        raise UsageError(
            f"{path} is a file, expected a folder.",
            hint=f"Name a folder that is not there yet with {option}.",
        )
    check_writable(target / "README.md")
    if not target.is_dir():
        check_writable(target)
    return target


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


__all__ = [
    "BUNDLE",
    "FACTS",
    "MEMORY",
    "REPORT",
    "RESULT",
    "Force",
    "Kind",
    "writable_folder",
    "writable_target",
]
