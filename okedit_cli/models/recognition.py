"""What the unedited model calls a picture, as part of what a picture is recognised by.

Other drawings of one thing look unlike each other, and near things alike; but a model that can name both
gives other drawings one name and near things two, if it is sure of them. So a picture's vector is its look
(what enters the decoder, pooled) and its name: the words of the answer to one fixed question, each in a
direction of its own.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.decode import go_on
from okedit_cli.models.features import Look, look_of, look_together, pooled_width
from okedit_cli.models.prefixes import Prefix, prefix_behind, together, unedited
from okedit_cli.models.question import behind_picture
from okedit_cli.models.reading import prompts_behind, shares

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

ASKED = "What is this?"
NAMED = "decoder input and name"  # the point where such keys are read, as a bundle says it
NAME_WIDTH = 128
PARTS = 0.5  # weight of a name's words beside the whole
LONGEST = 8  # tokens of a name
SURE = 0.5  # a name of less probability is a guess, and counts for none; set on okedit-pictures' fit split
BATCH = 32


def name_vector(name: str) -> torch.Tensor:
    """A unit vector [NAME_WIDTH] of a name: mostly of the whole, so that two flags of two countries are two
    things, and a little of its words; zeros for no name.
    """
    words = ["".join(c for c in word if c.isalnum()) for word in name.casefold().split()]
    words = [word for word in words if word and word not in ("a", "an", "the")]
    if not words:
        return torch.zeros(NAME_WIDTH)
    parts = torch.stack([_direction(word) for word in words]).sum(0)
    total = _direction(" ".join(words)) + PARTS * _unit(parts) * NAME_WIDTH**0.5
    return _unit(total)


def _unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.norm().clamp_min(1e-6)


@functools.lru_cache(maxsize=10_000)
def _direction(word: str) -> torch.Tensor:
    """The word's direction, the same on every machine and with every library."""
    digest = hashlib.shake_256(word.encode()).digest(NAME_WIDTH // 8)
    signs = [1.0 if digest[i // 8] >> (i % 8) & 1 else -1.0 for i in range(NAME_WIDTH)]
    return torch.tensor(signs)


@torch.no_grad()
def ask_names(loaded: LoadedModel, prefixes: Sequence[Prefix]) -> None:
    """Ask what the unedited model calls the pictures of prefixes, each once, many at a time."""
    looks = {id(p.seen): p for p in prefixes if p.seen is not None and p.seen.name is None}
    pending = list(looks.values())
    for start in range(0, len(pending), BATCH):
        part = pending[start : start + BATCH]
        chances = [1.0] * len(part)
        out = go_on(loaded, prompts_behind(loaded, part, _rest(loaded)), LONGEST, chances=chances)
        for prefix, ids, chance in zip(part, out, chances, strict=True):
            name = loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
            prefix.seen.name = name if chance >= SURE else ""


def recognise(loaded: LoadedModel, pictures: Sequence[Image], *, fitting: bool = False) -> list[str]:
    """What the unedited model calls each picture; "" where it is not sure, or its prompts cannot be read in
    parts. With `fitting` pictures are read many at a time.
    """
    if not shares(loaded):
        return [""] * len(pictures)
    names = []
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        if fitting:
            with unedited(loaded):
                look_together(loaded, part)
        looks = _looks(loaded, part)
        new = [(p, seen) for p, seen in zip(part, looks, strict=True) if seen.name is None]
        shown = [p for p, _ in new]
        with unedited(loaded), together(loaded, shown) if fitting else nullcontext():
            prefixes = [prefix_behind(loaded, p) for p in shown]
            ask_names(loaded, prefixes)
        for (_, seen), prefix in zip(new, prefixes, strict=True):
            seen.name = prefix.seen.name  # another look where memory is short
        names += [seen.name for seen in looks]
    return names


def _looks(loaded: LoadedModel, pictures: Sequence[Image]) -> list[Look]:
    with unedited(loaded):
        return [look_of(loaded, p) for p in pictures]


def _rest(loaded: LoadedModel) -> list[int]:
    """What stands behind the picture in the prompt that asks for its name."""
    if "name_prompt" not in loaded.cache:
        loaded.cache["name_prompt"] = behind_picture(loaded, ASKED)
    return loaded.cache["name_prompt"]


def picture_vectors(loaded: LoadedModel, prefixes: Sequence[Prefix]) -> list[torch.Tensor | None]:
    """The picture vector of each prefix, as picture_features() tells it; None without a picture."""
    ask_names(loaded, prefixes)
    seen = [prefix.seen for prefix in prefixes]
    return [None if one is None else _with_name(loaded, one.vector, name_vector(one.name)) for one in seen]


def _with_name(loaded: LoadedModel, look: torch.Tensor, name: torch.Tensor) -> torch.Tensor:
    """A look with its name, before what is learned: that came last, and spaces take what they know."""
    pooled = pooled_width(loaded)
    return torch.cat([look[:pooled], name, look[pooled:]])


def seen_vector(loaded: LoadedModel, prefix: Callable[[], Prefix], vector: torch.Tensor) -> torch.Tensor:
    """The same for one prefix, read where its prompt can be read in parts; `vector` is its look's."""
    if not shares(loaded):
        return _with_name(loaded, vector, torch.zeros(NAME_WIDTH))
    return picture_vectors(loaded, [prefix()])[0]


def picture_features(loaded: LoadedModel, pictures: Sequence[Image], name: str | None = None) -> torch.Tensor:
    """Picture vectors [n, 2 d + NAME_WIDTH + learned + THUMBNAIL], fp32, on the CPU: what attach reads for a
    question.

    `name` says what all of them show, where that is known: then nobody is asked.
    """
    looks = look_features(loaded, pictures)
    names = recognise(loaded, pictures) if name is None else [name] * len(looks)
    named = [_with_name(loaded, one, name_vector(called)) for one, called in zip(looks, names, strict=True)]
    return torch.stack(named)


def look_features(loaded: LoadedModel, pictures: Sequence[Image]) -> torch.Tensor:
    """The looks [n, 2 d + learned + THUMBNAIL] in picture vectors, fp32, on the CPU, without names: nobody is
    asked.
    """
    return torch.stack([one.vector for one in _looks(loaded, pictures)])
