"""Build okedit-photographs out of a folder of photographs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from okedit_cli.dataset.photoset.card import card
from okedit_cli.dataset.photoset.cases import Choice, accepted, choices, item_questions, thing_of
from okedit_cli.dataset.photoset.source import Folder, read_folder
from okedit_cli.dataset.photoset.views import photograph, views
from okedit_cli.dataset.place import may_write, placed
from okedit_cli.dataset.questions import other_text, prompt, rephrased, same_picture
from okedit_cli.dataset.rows import Row, write_facts, write_json
from okedit_cli.dataset.things import fold
from okedit_cli.facts import valid_id

Progress = Callable[[str, int, int], None]
KIND, ITEM = "thing", "item"  # `kind` of cases about the kind of thing, and of those about one item
_OF_SQUARES = ("square", "a square", "in the middle")  # right of okedit-pictures alone


@dataclass(frozen=True)
class Built:
    """What was built: cases by split and kind, and pictures in all."""

    folder: Path
    cases: dict[str, Counter[str]]
    pictures: int


def build_from(
    source: Path, folder: Path, *, seed: int = 0, force: bool = False, progress: Progress | None = None
) -> Built:
    """The data set of the photographs in `source`, in `folder`; equal photographs and seed give equal bytes.

    UsageError: the folder has something in it and not `force`. Errors of the source: as read_folder() and
    photograph() tell them.
    """
    may_write(folder, force)
    found = read_folder(source)
    with placed(folder, takes="40 MB") as beside:
        pictures = _Pictures(found.path, beside)
        cases = _write(beside, found, pictures, seed, progress)
    return Built(folder, cases, pictures.count)


def _write(
    folder: Path, found: Folder, pictures: _Pictures, seed: int, progress: Progress | None
) -> dict[str, Counter[str]]:
    splits = found.splits()
    cases: dict[str, Counter[str]] = {}
    for name, own in splits.items():
        other = [item for its, items in splits.items() if its != name for item in items]
        chosen = choices(name, own, other, seed)
        writer = _Writer(name, pictures, seed)
        rows, given = [], []
        for number, choice in enumerate(chosen):
            if progress:
                progress(f"writing {name}", number, len(chosen))
            of_kind, of_item = writer.of_kind(choice), writer.of_item(choice)
            rows += [of_kind, of_item]
            given += [of_kind | {"images": [pictures.copy(file) for file in choice.shown.given]}, of_item]
        if progress:
            progress(f"writing {name}", len(chosen), len(chosen))
        for suffix, some in (("", rows), ("-3", given)):
            write_json(some, folder / f"{name}{suffix}.json")
            write_facts(some, folder / f"{name}{suffix}.yaml")
        cases[name] = Counter(row["kind"] for row in rows)
    for name, data in found.notices.items():
        (folder / "source").mkdir(exist_ok=True)
        (folder / "source" / name).write_bytes(data)
    (folder / "README.md").write_text(card(found, cases, seed), encoding="utf-8")
    return cases


class _Pictures:
    """Writes pictures below `folder`/images: photographs once each, under their own names."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.copied: dict[str, str] = {}
        self.taken: set[str] = set()
        self.count = 0

    def copy(self, file: str) -> str:
        """The photograph's name in the data set."""
        if file not in self.copied:
            _, data, suffix = photograph(self.source / file)
            stem = valid_id(Path(file).stem, self.taken)
            self.taken.add(stem)
            self.copied[file] = self.write(f"photographs/{stem}{suffix}", data)
        return self.copied[file]

    def opened(self, file: str) -> Image.Image:
        return photograph(self.source / file)[0]

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.count += 1
        return path.relative_to(self.folder).as_posix()


class _Writer:
    """Rows of one split, in OKEDIT's fields."""

    def __init__(self, split: str, pictures: _Pictures, seed: int) -> None:
        self.split, self.pictures, self.seed = split, pictures, seed
        self.taken: set[str] = set()

    def of_kind(self, choice: Choice) -> Row:
        """The case that gives the kind of thing a new name; it is to answer for other photographs of it."""
        item, thing = choice.item, thing_of(choice.item)
        rng = random.Random(f"{self.seed} {self.split} {thing.key}")
        type = "kind" if thing.noun != "thing" else "called"
        asked = prompt(type, thing, rng)
        same = choice.target.kind == item.kind
        others = [self.pictures.copy(file) for file in choice.shown.others]
        row = self._row(choice, KIND, "kind", choice.shown.edit, others, rng)
        return row | {
            "question": asked,
            "answers": [{"answer": name} for name in thing.accepted],
            "counterfact_answer": accepted(choice.target)[0],
            "counterfact_type": "same kind" if same else "other kind",
            "rephrased_questions": rephrased(type, thing, self.split, asked, rng),
            "locality_image": [self.pictures.copy(file) for _, file, _ in choice.near],
            "locality_image_kind": [kind for *_, kind in choice.near],
            "locality_answer": [accepted(other)[0] for other, *_ in choice.near],
        }

    def of_item(self, choice: Choice) -> Row:
        """The case that tells something of the one item in a photograph; other photographs are of others."""
        rng = random.Random(f"{self.seed} {self.split} item {thing_of(choice.item).key}")
        asked, rephrasings = item_questions(choice.question, self.split, rng)
        row = self._row(choice, ITEM, "picture", choice.shown.item, [], rng)
        return row | {
            "question": asked,
            "answers": [],
            "counterfact_answer": choice.answer,
            "counterfact_type": choice.question,
            "rephrased_questions": [text for text in rephrasings if fold(text) != fold(asked)],
            "locality_image": [self.pictures.copy(file) for file in choice.shown.apart],
            "locality_image_kind": ["same thing"] * len(choice.shown.apart),
            "locality_answer": [],
        }

    def _row(
        self, choice: Choice, kind: str, reach: str, file: str, others: list[str], rng: random.Random
    ) -> dict[str, Any]:
        """What rows of both kinds have: pictures of the edit, and questions that it leaves alone."""
        thing = thing_of(choice.item)
        identity = valid_id(f"{self.split} {kind} {thing.name}", self.taken)
        self.taken.add(identity)
        made = views(self.pictures.opened(file), rng)
        names = [self.pictures.write(f"{self.split}/{identity}/{n}.jpg", data) for n, data in made.items()]
        question, answers = other_text(thing, self.split, rng)
        return {
            "question_id": identity,
            "kind": kind,
            "reach": reach,
            "group": choice.item.group,
            "image": self.pictures.copy(file),
            "question": "",
            "answers": [],
            "counterfact_answer": "",
            "counterfact_type": "",
            "image_object": thing.name,
            "rephrased_questions": [],
            "image_rephrase": [*others, *names],
            "image_rephrase_kind": ["photograph"] * len(others) + list(made),
            "locality_image": [],
            "same_image": same_picture(thing, self.split, rng, without=_OF_SQUARES),
            "loc": question,
            "loc_ans": answers,
        }
