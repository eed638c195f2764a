"""Build okedit-pictures out of packages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okedit_cli.dataset.card import card
from okedit_cli.dataset.counterfacts import Chooser
from okedit_cli.dataset.packages import Progress
from okedit_cli.dataset.photographs import edited_in
from okedit_cli.dataset.place import may_write, placed
from okedit_cli.dataset.rows import write_facts, write_json
from okedit_cli.dataset.scenes import Writer
from okedit_cli.dataset.sources import Sources, gather
from okedit_cli.dataset.splits import SPLITS, split


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
    may_write(folder, force)
    found = gather(seed, given=packages, strict=strict, progress=progress, warn=warn)
    with placed(folder, takes="150 MB") as beside:
        built = _write(beside, found, seed, progress)
    return Built(folder, built["cases"], built["pictures"], found.missing)


def _write(folder: Path, found: Sources, seed: int, progress: Progress | None) -> dict[str, Any]:
    pinned = edited_in(seed) if any(t.kind == "photograph" for t in found.things) else {}
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


__all__ = ["SPLITS", "Built", "build"]
