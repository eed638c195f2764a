"""Things whose pictures are nearly the same: of those only the first is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from okedit_cli.dataset.svg import NotFlat
from okedit_cli.dataset.things import Art, Thing
from okedit_cli.dataset.views import opened

_SIDE, _BLOCKS = 24, 6
# at or below both, two pictures count as the same: over all, and in the block where they differ most
SAME, SAME_BLOCK = 0.03, 0.16
# a thing is left out by the edit's own picture and this artist's; of others only the picture is left out
TELLING = "twemoji"
_WHITE = 255

Twins = list[tuple[Thing, Thing]]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thumbnails are nearly the same, everywhere: a small emblem is a difference."""
    difference = np.abs(one - other).mean(axis=2)
    size = _SIDE // _BLOCKS
    blocks = difference.reshape(_BLOCKS, size, _BLOCKS, size).mean(axis=(1, 3))
    return float(difference.mean()) <= SAME and float(blocks.max()) <= SAME_BLOCK


def without_twins(things: Sequence[Thing]) -> tuple[list[Thing], Twins]:
    """(kept, [(left out, the kept one that it looks like)]), among things of one kind."""
    seen: dict[tuple[str, str], list[tuple[Thing, np.ndarray]]] = defaultdict(list)
    kept, twins = [], []
    for thing in things:
        looks = _looks(thing)

        def twin(artist: str, thing: Thing = thing, looks: dict[str, np.ndarray] = looks) -> Thing | None:
            """The first thing kept that looks like this one, as the artist draws it."""
            if artist not in looks:
                return None
            before = seen[thing.kind, artist]
            return next((other for other, its in before if same(looks[artist], its)), None)

        other = twin("") or twin(TELLING)
        if other is not None:
            twins.append((thing, other))
            continue
        others = {
            artist: art for artist, art in thing.others.items() if artist in looks and twin(artist) is None
        }
        kept.append(replace(thing, others=others))
        for artist, look in looks.items():
            seen[thing.kind, artist].append((thing, look))
    return kept, twins


def _looks(thing: Thing) -> dict[str, np.ndarray]:
    """Thumbnails by artist, "" the edit's own; without copies of the own and what cannot be drawn."""
    own = thumbnail(thing.art, thing.key)
    looks = {"": own}
    for artist, art in thing.others.items():
        try:
            look = thumbnail(art, f"{thing.key} by {artist}")
        except NotFlat:
            continue
        if not same(look, own):
            looks[artist] = look
    return looks


def thumbnail(art: Art, what: str) -> np.ndarray:
    """[24, 24, 3] float32 in 0..1, over white."""
    image = opened(art, what)
    image.thumbnail((2 * _SIDE, 2 * _SIDE))
    pixels = np.asarray(image.resize((_SIDE, _SIDE)), dtype=np.float32)
    alpha = pixels[..., 3:] / 255
    return (pixels[..., :3] * alpha + _WHITE * (1 - alpha)) / 255
