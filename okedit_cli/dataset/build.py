"""Build the data set: beside its folder first, then renamed, so that it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okedit_cli.dataset.card import card
from okedit_cli.dataset.counterfacts import Chooser
from okedit_cli.dataset.packages import Progress
from okedit_cli.dataset.photographs import CLASSES
from okedit_cli.dataset.rows import write_facts, write_json
from okedit_cli.dataset.scenes import Writer
from okedit_cli.dataset.sources import Sources, gather
from okedit_cli.dataset.splits import SPLITS, split
from okedit_cli.errors import OkeditError, UsageError


@dataclass(frozen=True)
class Built:
    """What was built: cases by split and kind, and pictures in all."""

    folder: Path
    cases: dict[str, Counter[str]]
    pictures: int
    missing: dict[str, str]


def build(
    folder: Path,
    *,
    seed: int = 0,
    packages: Path | None = None,
    strict: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Built:
    """The whole data set in `folder`; equal packages and seed give equal bytes.

    UsageError: the folder has something in it and not `force`. SetupError: as gather() tells it.
    """
    _may_write(folder, force)
    found = gather(seed, given=packages, strict=strict, progress=progress, warn=warn)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            os.chmod(beside, 0o755)
            built = _write(beside, found, seed, progress)
            _put(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise OkeditError(
            f"The data set cannot be written to {folder}: {error.strerror or error}.",
            hint="It takes about 150 MB; name another folder, or make room.",
        ) from error
    return Built(folder, built["cases"], built["pictures"], found.missing)


def _may_write(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, expected a folder or a new name.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"{folder} is not empty, expected an empty folder or a new name.",
            hint="--force puts the data set in its place, and removes what is there.",
        )


def _write(folder: Path, found: Sources, seed: int, progress: Progress | None) -> dict[str, Any]:
    pinned = [names[0] for _, names in CLASSES] if any(t.kind == "photograph" for t in found.things) else []
    cases: dict[str, Counter[str]] = {}
    samples: dict[str, list[dict[str, Any]]] = {}
    pictures = 0
    for name, part in split(found.things, pinned, seed).items():
        edits = Chooser(part, found.lands, seed).edits()
        writer = Writer(folder, name, found.lands, seed)
        rows = []
        for number, edit in enumerate(edits):
            if progress:
                progress(f"writing {name}", number, len(edits))
            rows.append(writer.row(edit))
        if progress:
            progress(f"writing {name}", len(edits), len(edits))
        write_json(rows, folder / f"{name}.json")
        write_facts(rows, folder / f"{name}.yaml")
        cases[name] = Counter(row["kind"] for row in rows)
        samples[name] = rows
        pictures += writer.pictures
    (folder / "README.md").write_text(card(found, samples, seed), encoding="utf-8")
    return {"cases": cases, "pictures": pictures}


def _put(beside: Path, folder: Path) -> None:
    """Put the folder made beside in its place; what was there goes only once the new one is whole."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, old / folder.name)
    os.rename(beside, folder)
    if old is not None:
        shutil.rmtree(old)


__all__ = ["SPLITS", "Built", "build"]
