"""Which things are edited in `fit`, which in `test`, and which are only shown beside them as near things.

A near thing is never edited: many edits at once must not change what its picture is asked.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from okedit_cli.dataset.photographs import one_of_each
from okedit_cli.dataset.things import Thing, fold

SPLITS = ("fit", "test")

# roles in the order in which things of one group are dealt out: T, F edited in test or fit; t, f near there
_DEAL = {
    "drawing": "TtFTfTTtFTfTTFTtTFTT",
    "flag": "TTFTtTTTTfTTFTTTTtTF",
    "stamp": "TTtFTTTfTTFTTtTTTFTT",
    "photograph": "TFTtTFTTfTFTTTFTTtTT",
}
_ROLES = {"T": ("test", True), "F": ("fit", True), "t": ("test", False), "f": ("fit", False)}


@dataclass(frozen=True)
class Split:
    """The things of one split: those that are edited, and those that are only shown."""

    name: str
    edited: tuple[Thing, ...]
    near: tuple[Thing, ...]

    @property
    def all(self) -> tuple[Thing, ...]:
        return (*self.edited, *self.near)


def split(things: Sequence[Thing], pinned: Mapping[str, str], seed: int) -> dict[str, Split]:
    """Both splits. Things that could be called the same go the same way, and those that could be called by a
    name in `pinned` are edited in the split that it names.

    Photographs are dealt each for itself. Of a class in `pinned` its split edits one, with others of its
    photographs as other pictures; only the other split shows them as near ones.
    """
    pinned = {fold(name): to for name, to in pinned.items()}
    role = {to: name for name, (to, edited) in _ROLES.items() if edited}
    groups = [*_groups([t for t in things if t.kind != "photograph"])]
    groups += [[t] for t in things if t.kind == "photograph"]
    strata: dict[tuple[str, str], list[list[Thing]]] = defaultdict(list)
    dealt: dict[str, list[Thing]] = defaultdict(list)
    for group in groups:
        first = group[0]
        named = sorted(pinned.keys() & {word for thing in group for word in thing.words})
        if first.kind != "photograph" and named:
            dealt[role[pinned[named[0]]]] += group
        else:
            near = first.accepted[0] if first.kind == "photograph" else first.near
            strata[first.kind, near].append(group)
    for (kind, near), members in sorted(strata.items()):
        rng = random.Random(f"{seed} split {kind} {near}")
        rng.shuffle(members)
        # small groups begin anywhere in the deal, so that they do not all give to test alone
        start = rng.randrange(20) if len(members) < 4 else 0
        for number, group in enumerate(members):
            dealt[_DEAL[kind][(start + number) % 20]] += group
    order = {thing.key: place for place, thing in enumerate(things)}
    found = {}
    for name in SPLITS:
        parts = {
            edited: sorted(
                (
                    t
                    for role, (to, is_edited) in _ROLES.items()
                    if (to, is_edited) == (name, edited)
                    for t in dealt[role]
                ),
                key=lambda thing: order[thing.key],
            )
            for edited in (True, False)
        }
        found[name] = Split(name, _edited(parts[True], name, pinned), _near(parts[False], name, pinned))
    return found


def _edited(things: Sequence[Thing], split: str, pinned: Mapping[str, str]) -> tuple[Thing, ...]:
    """Without the photographs that the other split edits; of every class one."""
    photographs = [t for t in things if t.kind == "photograph" and pinned.get(fold(t.name), split) == split]
    return (*(t for t in things if t.kind != "photograph"), *one_of_each(photographs))


def _near(things: Sequence[Thing], split: str, pinned: Mapping[str, str]) -> tuple[Thing, ...]:
    """Without photographs of a class that the split edits: the edit is about all of the class."""
    return tuple(t for t in things if t.kind != "photograph" or pinned.get(fold(t.name), split) != split)


def _groups(things: Sequence[Thing]) -> list[list[Thing]]:
    """Things joined by any accepted name that two of them share."""
    leader: dict[str, str] = {}

    def find(word: str) -> str:
        leader.setdefault(word, word)
        while leader[word] != word:
            leader[word] = leader[leader[word]]
            word = leader[word]
        return word

    for thing in things:
        first, *rest = sorted(thing.words)
        for word in rest:
            leader[find(word)] = find(first)
        find(first)
    groups: dict[str, list[Thing]] = defaultdict(list)
    for thing in things:
        groups[find(min(thing.words))].append(thing)
    return list(groups.values())
