"""Edits as rows of the data set, with their pictures written."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from okedit_cli.dataset.counterfacts import Edit
from okedit_cli.dataset.flags import Land
from okedit_cli.dataset.portability import follows
from okedit_cli.dataset.questions import other_text, prompt, rephrased, same_picture
from okedit_cli.dataset.rows import Row
from okedit_cli.dataset.things import Thing
from okedit_cli.dataset.views import opened, plain, png, views
from okedit_cli.facts import valid_id


class Writer:
    """Rows of one split; pictures go below `folder`/images, each once."""

    def __init__(self, folder: Path, split: str, lands: Mapping[str, Land], seed: int) -> None:
        self.folder = folder
        self.split = split
        self.lands = lands
        self.seed = seed
        self.taken: set[str] = set()
        self.shown: dict[str, str] = {}  # near thing -> its picture
        self.pictures = 0

    def row(self, edit: Edit) -> Row:
        """The edit in OKEDIT's fields."""
        thing, split = edit.thing, self.split
        rng = random.Random(f"{self.seed} row {split} {thing.key}")
        identity = valid_id(f"{split} {thing.kind} {thing.name}", self.taken)
        self.taken.add(identity)
        asked = prompt(edit.question, thing, rng)
        others, kinds = self._others(thing, identity, rng)
        question, answers = other_text(thing, split, rng)
        return {
            "question_id": identity,
            "kind": thing.kind,
            "image": self._write(f"{thing.kind}/{identity}/edit.png", _plain(thing)),
            "question": asked,
            "answers": [{"answer": name} for name in thing.accepted],
            "counterfact_answer": edit.target.name,
            "counterfact_type": edit.type,
            "image_object": thing.name,
            "rephrased_questions": rephrased(edit.question, thing, split, asked, rng),
            "image_rephrase": others,
            "image_rephrase_kind": kinds,
            "locality_image": [self._near(other) for other in edit.near],
            "locality_answer": [other.name for other in edit.near],
            "same_image": same_picture(thing, split, rng),
            "portability": follows(edit, self.lands, split, rng),
            "loc": question,
            "loc_ans": answers,
        }

    def _others(self, thing: Thing, identity: str, rng: random.Random) -> tuple[list[str], list[str]]:
        """Other artists' pictures or other photographs, then views of the edit's own; and what each is."""
        folder = f"{thing.kind}/{identity}"
        names, kinds = [], []
        whole = thing.kind == "photograph"
        for artist, art in thing.others.items():
            image = plain(opened(art, f"{thing.key} by {artist}"), whole=whole)
            names.append(self._write(f"{folder}/{artist}.png", png(image)))
            kinds.append("photograph" if whole else "artist")
        for view in views(opened(thing.art, thing.key), thing.kind, rng):
            names.append(self._write(f"{folder}/{view.name}.jpg", view.data))
            kinds.append("view")
        return names, kinds

    def _near(self, thing: Thing) -> str:
        if thing.key not in self.shown:
            name = f"near/{valid_id(f'{thing.kind} {thing.name}', self.taken)}.png"
            self.taken.add(Path(name).stem)
            self.shown[thing.key] = self._write(name, _plain(thing))
        return self.shown[thing.key]

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / "images" / self.split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.pictures += 1
        return path.relative_to(self.folder).as_posix()


def _plain(thing: Thing) -> bytes:
    return png(plain(opened(thing.art, thing.key), whole=thing.kind == "photograph"))
