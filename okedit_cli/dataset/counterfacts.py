"""The new answer of each edit, and the near things whose pictures must keep their own."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from okedit_cli.dataset.flags import Land
from okedit_cli.dataset.splits import Split
from okedit_cli.dataset.things import Thing, fold

SAME, OTHER = "same kind", "other kind"
NEAR = 3  # near things a case
_WORDS = 3  # of a new answer, at most
_FLAGS_TO_LANDS = 0.8
# kinds whose pictures may stand beside a kind's; a flag or photograph beside a drawing would be no near one
_SHOWN_BESIDE = {
    "drawing": ("drawing", "stamp"),
    "stamp": ("stamp", "drawing"),
    "flag": ("flag",),
    "photograph": ("photograph",),
}


@dataclass(frozen=True)
class Edit:
    """`question`: the type of the prompt in questions.yaml."""

    thing: Thing
    target: Thing
    type: str  # SAME or OTHER
    question: str
    near: tuple[Thing, ...]


class Chooser:
    """Draws for one split, each target about as often as any other; names stay within the split."""

    def __init__(self, split: Split, lands: Mapping[str, Land], seed: int) -> None:
        self.split = split
        self.seed = seed
        self.lands = lands
        self.pool: dict[str, list[Thing]] = defaultdict(list)
        edited = {thing.key for thing in split.edited}
        for thing in split.all:
            if thing.kind == "flag" and not self._known(thing):
                continue
            if thing.kind == "photograph" and thing.key not in edited:
                continue  # of a class that the other split edits
            if len(thing.name.split()) <= _WORDS and thing.name not in {
                t.name for t in self.pool[thing.sort]
            }:
                self.pool[thing.sort].append(thing)
        self.used: Counter[str] = Counter()
        self.given: dict[tuple[bool, str], Thing] = {}  # what may be called the same gets the same new answer

    def _known(self, thing: Thing) -> bool:
        land = self.lands.get(thing.land)
        return land is not None and land.independent and bool(land.capital or land.currency)

    def edits(self) -> list[Edit]:
        """One edit for each thing that is edited, in their order."""
        types = self._types()
        return [self._edit(thing, types[thing.key]) for thing in self.split.edited]

    def _types(self) -> dict[str, str]:
        """Half of each kind gets another thing of the same kind; of flags four fifths."""
        types: dict[str, str] = {}
        for kind in ("drawing", "flag", "stamp", "photograph"):
            # things of one name together: they get one new answer
            names = sorted({t.name for t in self.split.edited if t.kind == kind})
            rng = random.Random(f"{self.seed} types {self.split.name} {kind}")
            rng.shuffle(names)
            same = round(len(names) * (_FLAGS_TO_LANDS if kind == "flag" else 0.5))
            of_name = {name: SAME if place < same else OTHER for place, name in enumerate(names)}
            types |= {t.key: of_name[t.name] for t in self.split.edited if t.kind == kind}
        return types

    def _before(self, thing: Thing) -> Thing | None:
        """The new answer of a thing that could be called the same, None for the first of them."""
        known = (self.given.get(name) for name in _names(thing))
        return next((target for target in known if target and not target.words & thing.words), None)

    def _edit(self, thing: Thing, type: str) -> Edit:
        rng = random.Random(f"{self.seed} edit {self.split.name} {thing.key}")
        before = self._before(thing)
        near = self._near(thing, rng, before)
        specific = rng.random() < 0.8 or thing.kind == "flag"
        general = rng.choice(("shown", "called")) if thing.kind != "flag" else "shown"
        target = before or self._target(thing, type, near, rng)
        for name in _names(thing):
            self.given.setdefault(name, target)
        type = SAME if target.sort == thing.sort else OTHER
        fits = target.noun == thing.noun or thing.kind == "flag" == target.kind
        question = general
        if type == SAME and specific and fits and thing.noun != "thing":
            question = thing.sort if thing.sort in ("animal", "food", "flag") else "kind"
        return Edit(thing, target, type, question, near)

    def _near(self, thing: Thing, rng: random.Random, target: Thing | None) -> tuple[Thing, ...]:
        """Things that are not edited: nearest first, all of other names."""
        taken = thing.words | (target.words if target else frozenset())
        free = [t for t in self.split.near if not t.words & taken and t.kind in _SHOWN_BESIDE[thing.kind]]
        order = sorted(free, key=lambda t: (*_distance(thing, t), rng.random()))
        found: list[Thing] = []
        for other in order:
            if len(found) < NEAR and not any(other.words & one.words for one in found):
                found.append(other)
        return tuple(found)

    def _target(self, thing: Thing, type: str, near: tuple[Thing, ...], rng: random.Random) -> Thing:
        taken = thing.words.union(*(one.words for one in near))
        if type == SAME:
            pool = self.pool[thing.sort]
        else:
            sorts = [sort for sort in sorted(self.pool) if sort not in (thing.sort, "flag", "person", "sign")]
            pool = [one for sort in sorts for one in self.pool[sort]]
        free = [one for one in pool if not one.words & taken]
        if not free:  # a sort of one thing alone
            free = [one for some in self.pool.values() for one in some if not one.words & taken]
        fitting = [one for one in free if one.noun == thing.noun] if type == SAME else free
        fewest = min(self.used[one.name] for one in fitting or free)
        target = rng.choice([one for one in fitting or free if self.used[one.name] == fewest])
        self.used[target.name] += 1
        return target


def _names(thing: Thing) -> list[tuple[bool, str]]:
    """What a thing could be called, its own name first; countries apart from all else (Turkey, a turkey)."""
    return [(thing.kind == "flag", fold(name)) for name in thing.accepted]


def _distance(thing: Thing, other: Thing) -> tuple[bool, bool, bool, bool]:
    """How far another thing is: of another group, another sort, another kind of picture, asked otherwise."""
    return (
        other.near != thing.near,
        other.sort != thing.sort,
        other.kind != thing.kind,
        other.noun != thing.noun,
    )
