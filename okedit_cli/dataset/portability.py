"""What follows from a new answer in one hop: what kind of thing it is, and facts of a country."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from okedit_cli.dataset.counterfacts import Edit
from okedit_cli.dataset.flags import Land
from okedit_cli.dataset.questions import half
from okedit_cli.dataset.things import Thing, stock

FACTS = ("capital", "continent", "currency", "language")
# finer kind -> what answers the question for the class; other finer kinds are not asked for
CLASSES = {
    "mammal": ("mammal",),
    "bird": ("bird",),
    "reptile": ("reptile",),
    "amphibian": ("amphibian",),
    "fish": ("fish",),
    "insect": ("insect",),
    "fruit": ("fruit",),
    "vegetable": ("vegetable",),
    "dish": ("dish", "cooked dish", "meal"),
    "sweet": ("dessert", "sweet"),
    "dessert": ("dessert", "sweet"),
    "land vehicle": ("land", "on land"),
    "boat": ("water", "on water"),
    "aircraft": ("air", "in the air"),
    "flower": ("flower",),
    "tree": ("tree",),
}


def follows(edit: Edit, lands: Mapping[str, Land], split: str, rng: random.Random) -> list[dict[str, Any]]:
    """[{hop, question, answer}] that are true once the new answer holds."""
    if edit.target.kind == "flag":
        return _of_country(lands[edit.target.land], split, rng)
    words = stock("others")
    answers = list(dict.fromkeys([*stock("things")["sorts"][edit.target.sort], *edit.target.fine]))
    rows = [_row(rng.choice(half(words["kind"], split)), answers)]
    target, old = edit.target, _class(edit.thing)
    # of the same sort the kind alone tells nothing about the edit: ask for the class where it is another
    if (
        target.sort == edit.thing.sort
        and target.sort in words["class"]
        and old
        and _class(target) not in ((), old)
    ):
        rows.append(_row(rng.choice(half(words["class"][target.sort], split)), list(_class(target))))
    return rows


def _class(thing: Thing) -> tuple[str, ...]:
    """The class of a thing by its finer kind; () where it has none that everybody would give."""
    return CLASSES.get(thing.fine[0], ())


def _of_country(land: Land, split: str, rng: random.Random) -> list[dict[str, Any]]:
    """Two of the facts that are plain for this country; fewer where there are fewer."""
    words = stock("others")
    known = [name for name in FACTS if getattr(land, name)]
    chosen = sorted(rng.sample(known, min(2, len(known))), key=FACTS.index)
    return [_row(rng.choice(half(words[name], split)), list(getattr(land, name))) for name in chosen]


def _row(question: str, answer: list[str]) -> dict[str, Any]:
    return {"hop": 1, "question": question, "answer": answer}
