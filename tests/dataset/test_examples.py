"""The cases that ship with the repository: whole, small, and legal to ship."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from okedit_cli.evaluate import load_cases, present

FOLDER = Path(__file__).parents[2] / "examples" / "okedit-pictures"
PHOTOGRAPHS = FOLDER.with_name("okedit-photographs")
SPLITS = ("fit", "test")


def rows(split):
    return json.loads((FOLDER / f"{split}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["fit.json", "test.json", "fit.yaml", "test.yaml"])
def test_every_file_reads_whole_with_all_its_pictures(name):
    data = present(load_cases(FOLDER / name))
    assert not data.left_out and len(data.cases) == (15 if name.startswith("fit") else 45)


def test_they_are_sixty_drawings_and_flags_as_the_card_says():
    counts = Counter((split, row["kind"]) for split in SPLITS for row in rows(split))
    assert sum(counts.values()) == 60 and {kind for _, kind in counts} == {"drawing", "flag"}
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        drawings, flags = counts[split, "drawing"], counts[split, "flag"]
        assert f"| {split} | {drawings} | {flags} | {drawings + flags} |" in card


def test_pictures_are_of_permissive_works_alone_and_all_are_used():
    used = {
        name
        for split in SPLITS
        for row in rows(split)
        for name in (row["image"], *row["image_rephrase"], *row["locality_image"])
    }
    there = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "images").rglob("*") if path.is_file()}
    assert used == there
    names = {Path(name).name for name in there if "/near/" not in name}
    views = {"moved.jpg", "turned.jpg", "slanted.jpg", "worn.jpg"}
    assert names == {"edit.png", "twemoji.png", "fluent.png", *views}
    assert not any("/near/stamp" in name or "photograph" in name for name in there)
    for split in SPLITS:
        for row in rows(split):
            for name, kind in zip(row["image_rephrase"], row["image_rephrase_kind"], strict=True):
                assert kind == ("view" if name.endswith(".jpg") else "artist")


@pytest.mark.parametrize("name", ["report.json", "report-3.json", "report.yaml", "report-3.yaml"])
def test_photographs_read_whole_with_reach_and_further_pictures(name):
    data = present(load_cases(PHOTOGRAPHS / name))
    assert not data.left_out and len(data.cases) == 12
    given = [len(case.fact().images) for case in data.cases]
    assert given == ([2, 0] * 6 if "-3" in name else [0] * 12)
    if name.endswith(".json"):
        assert [case.reach for case in data.cases] == ["kind", "picture"] * 6


def test_photographs_are_small_all_used_and_carry_their_notice():
    used = set()
    for row in json.loads((PHOTOGRAPHS / "report-3.json").read_text(encoding="utf-8")):
        used |= {row["image"], *row["image_rephrase"], *row["locality_image"], *row.get("images", ())}
    files = [path for path in PHOTOGRAPHS.rglob("*") if path.is_file()]
    there = {path.relative_to(PHOTOGRAPHS).as_posix() for path in files if path.suffix == ".jpg"}
    assert used == there and sum(path.stat().st_size for path in files) < 2_000_000
    card = (PHOTOGRAPHS / "README.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2019 Marcus Klasson" in card and "Permission is hereby granted" in card


def test_it_is_small():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    with Image.open(FOLDER / rows("test")[0]["image"]) as image:
        assert image.size == (96, 96)
