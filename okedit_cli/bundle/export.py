"""A bundle as a folder for the hub, and as a fact file: whole or not at all, never over other files."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from okedit_cli.bundle.atomic import ABANDONED, atomic_write
from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.card import MARK, card
from okedit_cli.bundle.hub import FILE
from okedit_cli.bundle.manifest import Manifest
from okedit_cli.bundle.sources import get_sources
from okedit_cli.bundle.words import facts_of, picture_name, pictures_of
from okedit_cli.errors import UsageError
from okedit_cli.facts import Fact, FactFile, facts_text

README = "README.md"
BETWEEN = f"""{MARK}

# A bundle of okedit

Its card is being written. If this stays so, `okedit export` was interrupted: run it again.
""".encode()


def write_folder(source: Path, folder: Path, *, place: str | None = None, replace: bool = False) -> Manifest:
    """Put the bundle file `source` and its card into `folder`; returns the manifest.

    A new folder is written beside and renamed. In the folder of an earlier export, which may hold more by
    now, the card is taken back first and comes last: no reader finds one that speaks of another bundle.
    InvalidBundle: the bundle is damaged; UsageError: the folder holds other things, and not `replace`, which
    writes over the two files that have the names of ours.
    """
    manifest = Bundle.load(source, verify=True).manifest
    text = card(manifest, place=place).encode("utf-8")
    if folder.is_dir() and any(folder.iterdir()):
        if not replace:
            _check_earlier(folder)
        _write(folder / README, BETWEEN)
        _fill(source, text, folder)
        return manifest
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f".{folder.name[:100]}.*.tmp"):
        if leftover.is_dir() and time.time() - leftover.stat().st_mtime > ABANDONED:
            shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}.", suffix=".tmp", dir=parent))
    try:
        _fill(source, text, temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _fill(source: Path, text: bytes, folder: Path) -> None:
    with source.open("rb") as original, atomic_write(folder / FILE) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)
    _write(folder / README, text)


def _write(path: Path, text: bytes) -> None:
    with atomic_write(path) as handle:
        handle.write(text)


def _check_earlier(folder: Path) -> None:
    """UsageError unless both files that would be replaced are our own."""
    readme = folder / README
    ours = (folder / FILE).is_file() and readme.is_file()
    if not (ours and MARK in readme.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(
            f"{folder} is there already and not a folder that okedit exported, so it stays as it is.",
            hint="Name a folder that is not there yet; --force puts bundle and card among what is there.",
        )


def write_facts(source: Path, target: Path) -> dict[str, list[str]]:
    """Write the bundle's facts as a fact file, and the pictures that it holds into a folder beside it.

    Returns fact id -> the pictures that the bundle does not hold; the file says it too.
    """
    bundle = Bundle.load(source, verify=True)
    folder = target.parent / f"{target.stem}-pictures"
    facts, missing = facts_with_pictures(bundle, folder, str(source))
    name = str(bundle.manifest.base.get("name") or "")
    # a folder's name means nothing elsewhere
    file = FactFile(target, tuple(facts), name if "/" in name or name == "okedit-mini" else None)
    text = _notes(missing) + facts_text(file, target.parent)
    with atomic_write(target) as handle:
        handle.write(text.encode("utf-8"))
    return missing


def facts_with_pictures(
    bundle: Bundle, folder: Path, shown: str, further: Mapping[str, bytes] | None = None
) -> tuple[list[Fact], dict[str, list[str]]]:
    """The bundle's facts, its pictures, and those of `further` (by sha256) that facts name, written into
    `folder`; and those that are not at hand, by fact id.
    """
    held = {**(further or {}), **get_sources(bundle)}
    where = {sha256: folder / picture_name(sha256, data) for sha256, data in held.items()}
    facts = facts_of(bundle.manifest.facts, where, folder, shown)
    used = pictures_of(facts)
    for sha256, path in where.items():
        if path in used:
            with atomic_write(path) as handle:
                handle.write(held[sha256])
    known = set(where.values())
    missing: dict[str, list[str]] = {}
    for fact in facts:
        if absent := sorted({path.name for path in pictures_of([fact]) if path not in known}):
            missing[fact.id] = absent
    return facts, missing


def _notes(missing: Mapping[str, list[str]]) -> str:
    """Comments for the head of the fact file."""
    if not missing:
        return ""
    lines = ["# The bundle does not hold these pictures; put them in place before you use the facts:"]
    lines += [f"#   {name}: {', '.join(pictures)}" for name, pictures in missing.items()]
    return "\n".join(lines) + "\n"
