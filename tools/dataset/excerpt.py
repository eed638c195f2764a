"""Take the 60 cases of examples/okedit-pictures out of a built data set: drawings and flags under permissive
licences, pictures of 96 pixels. Of okedit-photographs six things of the report split, of 128 pixels.

    python tools/dataset/excerpt.py okedit-pictures examples/okedit-pictures
    python tools/dataset/excerpt.py okedit-photographs examples/okedit-photographs
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from okedit_cli.dataset.rows import Row, write_facts, write_json

LICENCES = Path(__file__).parents[2] / "okedit_cli/bank/pictures/LICENCES.md"
SIDE = 96
COUNTS = {"fit": {"drawing": 10, "flag": 5}, "test": {"drawing": 30, "flag": 15}}
PHOTOGRAPHS_SIDE, THINGS = 128, {"fruit": 2, "packages": 3, "vegetables": 1}
NOT_TAKEN = "openmoji.png"  # share-alike: in the whole set, not in the repository

README = """# okedit-pictures, 60 cases of it

{counts} cases of the data set that `okedit dataset build` makes, with pictures of {side} pixels, for tests
and for readers. They are cases of the whole set with their ids: what is in `fit` here is in `fit` there, and
`test` is for measuring alone. OpenMoji's pictures are left out, stamps and photographs as well.

    okedit eval examples/okedit-pictures/test.json --limit 10

`fit.json` and `test.json` have OKEDIT's fields; `fit.yaml` and `test.yaml` are the same cases as fact files.

| split | drawings | flags | all |
|---|---|---|---|
{table}

## Where the pictures come from

| pictures | work | licence |
|---|---|---|
| `edit.png`, its views, all in `near` | Noto Emoji, Google LLC | Apache-2.0 |
| `twemoji.png` | Twemoji, copyright Twitter, Inc and other contributors | CC-BY-4.0 |
| `fluent.png` | Fluent Emoji, Microsoft Corporation | MIT |

All were scaled and put on white ground. The views (`moved.jpg turned.jpg slanted.jpg worn.jpg`) were shifted,
turned, seen aslant, lit otherwise, put on other ground or worn. The text of CC-BY-4.0 is at
https://creativecommons.org/licenses/by/4.0/, that of Apache-2.0 in `LICENSE`, that of the MIT licence in
`okedit_cli/bank/pictures/LICENCES.md`. Names of things come from emojibase-data (MIT); what is said of
countries from world-countries (ODbL 1.0; contains information from mledoze/countries).
"""


OF_PHOTOGRAPHS = """# okedit-photographs, {count} cases of it

{things} things of the `report` split of the data set that `okedit dataset build DIR --from FOLDER` makes of a
folder of grocery photographs, with pictures of {side} pixels on the short side, for tests and for readers.
Each has two cases: one of the kind of thing ("thing", `reach` "kind"), one of the single item ("item",
`reach` "picture"). In `report-3.json` and `.yaml` "thing" cases give the edit two further photographs
(`images`). The cases have the ids that they have in the whole set.

    okedit eval examples/okedit-photographs/report.json

| thing | group | its new name | told of one item |
|---|---|---|---|
{table}

## Where the photographs come from

`images/photographs` are photographs of the Grocery Store Dataset (M. Klasson, C. Zhang and H. Kjellström,
WACV 2019), made smaller. Those in `images/report` are views of them: cropped, turned, framed, put into a
drawn page, grey, mirrored, compressed again. All are under the licence below.

## The MIT License

Copyright (c) 2019 Marcus Klasson

{licence}"""


def excerpt(whole: Path, folder: Path) -> dict[str, Counter[str]]:
    """Write the excerpt into `folder`, which must not be there yet; cases by split and kind."""
    folder.mkdir()
    counts = {}
    for split, wanted in COUNTS.items():
        rows = json.loads((whole / f"{split}.json").read_text(encoding="utf-8"))
        chosen = [row for kind, count in wanted.items() for row in _spread(_fitting(rows, kind), count)]
        for row in chosen:
            _copy(row, whole, folder)
        write_json(chosen, folder / f"{split}.json")
        write_facts(chosen, folder / f"{split}.yaml")
        counts[split] = Counter(row["kind"] for row in chosen)
    table = [f"| {s} | {c['drawing']} | {c['flag']} | {c.total()} |" for s, c in counts.items()]
    total = sum(count.total() for count in counts.values())
    text = README.format(counts=total, side=SIDE, table="\n".join(table))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return counts


def excerpt_of_photographs(whole: Path, folder: Path) -> dict[str, Counter[str]]:
    """The same of okedit-photographs: both cases of each of THINGS, by group, and the files with "-3"."""
    folder.mkdir()
    rows = json.loads((whole / "report.json").read_text(encoding="utf-8"))
    things = [row for row in rows if row["kind"] == "thing"]
    chosen = {
        row["image_object"]
        for group, count in THINGS.items()
        for row in _spread([row for row in things if row["group"] == group], count)
    }
    for name in ("report", "report-3"):
        some = json.loads((whole / f"{name}.json").read_text(encoding="utf-8"))
        some = [row for row in some if row["image_object"] in chosen]
        for row in some:
            _write((row["image"], *row["image_rephrase"], *row["locality_image"], *row.get("images", ())),
                   whole, folder, PHOTOGRAPHS_SIDE)  # fmt: skip
        write_json(some, folder / f"{name}.json")
        write_facts(some, folder / f"{name}.yaml")
    of_kind, of_item = ([row for row in some if row["kind"] == kind] for kind in ("thing", "item"))
    table = [
        f"| {one['image_object']} | {one['group']} | {one['counterfact_answer']} "
        f"| {two['question']} {two['counterfact_answer']} |"
        for one, two in zip(of_kind, of_item, strict=True)
    ]
    licence = LICENCES.read_text(encoding="utf-8")
    text = OF_PHOTOGRAPHS.format(
        count=len(some), things=len(of_kind), side=PHOTOGRAPHS_SIDE, table="\n".join(table),
        licence=licence[licence.index("Permission is hereby granted") :],
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")
    return {"report": Counter(row["kind"] for row in some)}


def _fitting(rows: list[Row], kind: str) -> list[Row]:
    """Cases of the kind whose near things are drawings or flags."""
    return [
        row
        for row in rows
        if row["kind"] == kind and not any("/near/stamp" in p for p in row["locality_image"])
    ]


def _spread(rows: list[Row], count: int) -> list[Row]:
    """So many of the rows, evenly over their order, so that all groups of things are there."""
    return [rows[place * len(rows) // count] for place in range(count)]


def _copy(row: Row, whole: Path, folder: Path) -> None:
    """Write the row's pictures, and leave out of the row those that are not taken."""
    pairs = zip(row["image_rephrase"], row["image_rephrase_kind"], strict=True)
    kept = [(name, kind) for name, kind in pairs if not name.endswith(NOT_TAKEN)]
    row["image_rephrase"], row["image_rephrase_kind"] = ([pair[part] for pair in kept] for part in (0, 1))
    _write((row["image"], *row["image_rephrase"], *row["locality_image"]), whole, folder, SIDE)


def _write(names: Iterable[str], whole: Path, folder: Path, side: int) -> None:
    """Copy the pictures, made smaller to `side` pixels on the short side."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_small(whole / name, side))


def _small(path: Path, side: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        size = [round(one * side / min(image.size)) for one in image.size]
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        small.save(buffer, "JPEG", quality=85)
    else:
        small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    source = Path(sys.argv[1])
    make = excerpt_of_photographs if (source / "report.json").exists() else excerpt
    made = make(source, Path(sys.argv[2]))
    sys.stdout.write(f"{ {split: dict(count) for split, count in made.items()} }\n")
