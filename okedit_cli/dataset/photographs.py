"""CIFAR-10's test photographs as things. The built-in model was trained on the training part alone."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from okedit_cli.dataset.things import Thing, rows_of
from okedit_cli.errors import SetupError

SHEET, LABELS = "test_batch.png", "test_lables.json"
SIDE = 32
CLASSES = (
    ("animal", ("bird",)),
    ("animal", ("cat",)),
    ("animal", ("deer",)),
    ("animal", ("dog",)),
    ("animal", ("frog",)),
    ("animal", ("horse",)),
    ("vehicle", ("airplane", "aeroplane", "plane")),
    ("vehicle", ("car", "automobile")),
    ("vehicle", ("ship", "boat")),
    ("vehicle", ("truck", "lorry")),
)
_ORDER = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OTHERS = 4  # other photographs of the class that a case has
_IN_TEST = 0.6  # of the classes of a sort: edited in test, the others in fit
_FINE = {"bird": "bird", "frog": "amphibian", "airplane": "aircraft", "ship": "boat"}


def photographs(members: dict[str, bytes], each: int, rng: random.Random) -> list[Thing]:
    """`each` photographs of every class, drawn by rng, in the sheet's order. SetupError: another sheet."""
    labels = rows_of(members, LABELS)
    sheet = _sheet(members, len(labels))
    about = {names[0]: (sort, names) for sort, names in CLASSES}
    chosen: list[int] = []
    for number in range(len(_ORDER)):
        of_class = [place for place, label in enumerate(labels) if label == number]
        chosen += rng.sample(of_class, min(each, len(of_class)))
    found = []
    for place in sorted(chosen):
        name = _ORDER[labels[place]]
        sort, accepted = about[name]
        fine = _FINE.get(name, "mammal" if sort == "animal" else "land vehicle")
        found.append(
            Thing(
                key=f"photograph/{place}",
                kind="photograph",
                accepted=accepted,
                sort=sort,
                noun=sort,
                fine=(fine,),
                near=sort,
                art=_png(sheet[place]),
                medium="photograph",
            )
        )
    return found


def edited_in(seed: int) -> dict[str, str]:
    """Class -> the one split that edits it; in the other its photographs may be shown as near ones."""
    found = {}
    for sort in sorted({sort for sort, _ in CLASSES}):
        names = [names[0] for its, names in CLASSES if its == sort]
        random.Random(f"{seed} classes {sort}").shuffle(names)
        test = round(len(names) * _IN_TEST)
        found |= {name: "test" if place < test else "fit" for place, name in enumerate(names)}
    return found


def one_of_each(things: Sequence[Thing]) -> list[Thing]:
    """The first photograph of each class, which gets up to OTHERS further ones as its other pictures."""
    found: dict[str, list[Thing]] = {}
    for thing in things:
        found.setdefault(thing.name, []).append(thing)
    return [
        replace(first, others={f"other-{n}": one.art for n, one in enumerate(rest[:OTHERS], 1)})
        for first, *rest in found.values()
    ]


def _sheet(members: dict[str, bytes], count: int) -> np.ndarray:
    """The photographs, [count, 32, 32, 3] uint8: each a row of 1,024 pixels in the sheet."""
    if SHEET not in members:
        raise SetupError(f"The package has no {SHEET}.", hint="Is it the version that okedit names?")
    with Image.open(io.BytesIO(members[SHEET])) as image:
        pixels = np.asarray(image.convert("RGB"))
    if pixels.shape != (count, SIDE * SIDE, 3):
        raise SetupError(
            f"{SHEET} is {pixels.shape[1]} x {pixels.shape[0]}, expected {SIDE * SIDE} x {count}."
        )
    return pixels.reshape(count, SIDE, SIDE, 3)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
