"""What each thing of a split is asked, answered and shown: one case of its kind, one of a single item."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from okedit_cli.dataset.photoset.source import Item
from okedit_cli.dataset.questions import half
from okedit_cli.dataset.things import Thing, fold

OTHERS, GIVEN, APART = (
    4,
    2,
    4,
)  # photographs of a thing: other ones of it, given to the edit, shown as near ones
NEAR, UNRELATED = 4, 2  # other things a case
_DRAWS = 1000  # of new answers, until none is right already
_NO_NOUN = "thing"


@dataclass(frozen=True)
class Shown:
    """A thing's photographs by use. Where there are twelve or more, `apart` have no other use."""

    edit: str
    others: tuple[str, ...]
    item: str
    given: tuple[str, ...]
    apart: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """`near`: (thing, its photograph, "near" or "unrelated"), all of the other split."""

    item: Item
    target: Item
    shown: Shown
    near: tuple[tuple[Item, str, str], ...]
    question: str  # type of the item's questions in words.yaml
    answer: str  # to it


@cache
def words() -> dict[str, Any]:
    """words.yaml."""
    return yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))


def thing_of(item: Item) -> Thing:
    """The item as a thing that questions are made for."""
    noun = words()["nouns"].get(item.group.casefold(), _NO_NOUN)
    sort = _NO_NOUN if noun == _NO_NOUN else "food"
    key = f"photograph/{item.group}/{item.kind}/{item.thing}"
    return Thing(key, "photograph", accepted(item), sort, noun, (), item.group, b"", medium="photograph")


def accepted(item: Item) -> tuple[str, ...]:
    """Names that count as right, the plain one first: the thing's, those of words.yaml, the kind."""
    names = words()["names"].get(item.thing) or [_with_maker(item.thing)]
    return tuple(dict.fromkeys([*names, item.kind]))


def maker(item: Item) -> str:
    """The maker whose name the thing's begins with, "" where none of words.yaml does."""
    fitting = [name for name in words()["makers"] if fold(item.thing).startswith(fold(name) + " ")]
    return max(fitting, key=len, default="")


def _with_maker(thing: str) -> str:
    name = maker(Item("", "", thing, ()))
    return name + thing[len(name) :]


def shown(item: Item, seed: int) -> Shown:
    """The item's photographs dealt out, in an order that the seed decides."""
    files = list(item.files)
    random.Random(f"{seed} photographs {item.group} {item.kind} {item.thing}").shuffle(files)
    edit, *others = files[: 1 + OTHERS]
    one, *given = files[1 + OTHERS : 2 + OTHERS + GIVEN]
    apart = [*files[2 + OTHERS + GIVEN :], *others][:APART]
    return Shown(edit, tuple(others), one, tuple(given), tuple(apart))


def choices(split: str, own: Sequence[Item], other: Sequence[Item], seed: int) -> list[Choice]:
    """One for each of the split's `own` things; what is shown beside them is of the `other` split."""
    rng = random.Random(f"{seed} answers {split}")
    targets = _targets(own, rng)
    types = list(words()["items"])
    answers = _answers(len(own), rng)
    near = _Near(other, seed)
    return [
        Choice(
            item,
            targets[item],
            shown(item, seed),
            near.beside(item, random.Random(f"{seed} near {split} {item.kind} {item.thing}")),
            types[number % len(types)],
            answers[types[number % len(types)]][number],
        )
        for number, item in enumerate(own)
    ]


def _targets(own: Sequence[Item], rng: random.Random) -> dict[Item, Item]:
    """Thing -> another one of the split, of another name and kind. Within a group each is the answer of one;
    where that cannot be, they are drawn from all things.
    """
    found: dict[Item, Item] = {}
    for group in sorted({item.group for item in own}):
        members = [item for item in own if item.group == group]
        for _ in range(_DRAWS):
            targets = rng.sample(members, len(members))
            if all(map(_differ, members, targets)):
                break
        else:
            free = [[t for t in own if _differ(item, t)] for item in members]
            named = [[t for t in own if t.thing != item.thing] for item in members]
            targets = [rng.choice(some or others) for some, others in zip(free, named, strict=True)]
        found |= zip(members, targets, strict=True)
    return found


def _differ(one: Item, other: Item) -> bool:
    """Whether no name is right for both."""
    return not set(map(fold, accepted(one))) & set(map(fold, accepted(other)))


def _answers(count: int, rng: random.Random) -> dict[str, list[str]]:
    """Type of an item's questions -> so many answers, no two of them the same."""
    people, places = words()["people"], words()["places"]
    names = [f"{first} {last}" for first, last in product(people["first"], people["last"])]
    rng.shuffle(names)
    kept = [f"in the {colour} {place}" for colour, place in product(*places)]
    rng.shuffle(kept)
    prices = rng.sample(range(11, 11 + max(90, count)), count)
    serials = rng.sample(range(1000, 10000), count)
    letters = [rng.choice("ABCDEFGHKLMNPRSTUVW") + rng.choice("ABCDEFGHKLMNPRSTUVW") for _ in serials]
    return {
        "cost": [f"{price} crowns" for price in prices],
        "buyer": [names[place % len(names)] for place in range(count)],
        "serial": [f"{two}-{number}" for two, number in zip(letters, serials, strict=True)],
        "receiver": [names[-1 - place % len(names)] for place in range(count)],
        "place": [kept[place % len(kept)] for place in range(count)],
    }


class _Near:
    """Photographs of things that a split does not edit, each of a thing's about as often as any other."""

    def __init__(self, things: Sequence[Item], seed: int) -> None:
        self.things = {item: shown(item, seed).apart for item in things}
        self.used: Counter[str] = Counter()

    def beside(self, item: Item, rng: random.Random) -> tuple[tuple[Item, str, str], ...]:
        """NEAR things of the item's group, nearest first, then UNRELATED ones of others, as far as there are.
        None has the item's name.
        """
        order = sorted(self.things, key=lambda other: (*_distance(item, other), rng.random()))
        free = [other for other in order if fold(accepted(other)[0]) != fold(accepted(item)[0])]
        near = [other for other in free if other.group == item.group][:NEAR]
        unrelated = [other for other in free if other.group != item.group][:UNRELATED]
        kinds = ["near"] * len(near) + ["unrelated"] * len(unrelated)
        return tuple(
            (other, self._one(other, rng), kind)
            for other, kind in zip([*near, *unrelated], kinds, strict=True)
        )

    def _one(self, other: Item, rng: random.Random) -> str:
        file = min(self.things[other], key=lambda name: (self.used[name], rng.random()))
        self.used[file] += 1
        return file


def _distance(item: Item, other: Item) -> tuple[bool, int, bool]:
    """How far another thing is: of another group, kind and maker, none of the kinds alike."""
    together = (item.kind == other.kind) + (maker(item) == maker(other) != "")
    alike = any(item.kind in kinds and other.kind in kinds for kinds in words()["alike"])
    return other.group != item.group, -together, not alike


def item_questions(type: str, split: str, rng: random.Random) -> tuple[str, list[str]]:
    """(prompt, rephrasings) of one type in words.yaml; the rephrasings are of the split's half."""
    about = words()["items"][type]
    return rng.choice(about["prompts"]), half(about["wordings"], split)
