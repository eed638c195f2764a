"""How much okedit may hold beside a model: what is read together and what is kept, in bytes, not by counts.

The bounds are the same on every machine, so that what is read together, and with it rounding, is too. On a
device that they are too much for, LEAST reads prompts one by one and keeps the last. Not here: what is
kept (features.py, prefixes.py), and a mapping that forgets (bounded.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from okedit_cli.models.sites import hidden_size, text_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okedit_cli.models.load import LoadedModel

DEEP = 32  # layers' outputs that a picture tower holds at once: LLaVA asks for all of them
KEPT = ("looks", "look_ids", "prefixes", "noted", "drafts", "whole_prompts")


@dataclass(frozen=True)
class Bounds:
    """Bytes, of LLaVA-1.5-7B in bf16: of prompts that are read as one batch four with a picture, of prefixes
    kept two, of pictures looked at kept fifty, of those looked at as one batch seven.
    """

    batch: int = 1300 << 20
    prefixes: int = 640 << 20
    looks: int = 256 << 20
    tower: int = 256 << 20

    def divided(self, division: int) -> Bounds:
        """For a model so many times narrower."""
        return Bounds(*(getattr(self, one.name) // division for one in fields(self)))


LEAST = Bounds(0, 0, 0, 0)  # one prompt, and the last that was read


def bounds(loaded: LoadedModel) -> Bounds:
    """What this model may hold."""
    return loaded.cache.get("bounds", Bounds())


def set_bounds(loaded: LoadedModel, found: Bounds) -> None:
    """Let a model hold more or less from now on."""
    loaded.cache["bounds"] = found


def forget(loaded: LoadedModel) -> None:
    """Forget what was kept of prompts and pictures, unless somebody is `keeping` it."""
    if not loaded.cache.get("keeping"):
        for name in KEPT:
            loaded.cache.pop(name, None)


@contextmanager
def keeping(loaded: LoadedModel) -> Iterator[None]:
    """Context: what is kept of prompts and pictures stays, whatever is fitted and detached meanwhile: the
    same ones will be asked about.
    """
    loaded.cache["keeping"] = loaded.cache.get("keeping", 0) + 1
    try:
        yield
    finally:
        loaded.cache["keeping"] -= 1
        forget(loaded)


def token_bytes(loaded: LoadedModel) -> int:
    """Bytes of keys and values that one token takes over all layers of the decoder."""
    config = text_config(loaded.model)
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * config.num_hidden_layers * kept * width * loaded.dtype.itemsize


def tower_bytes(loaded: LoadedModel, row: Mapping[str, Any]) -> int:
    """About how many bytes a picture tower takes for the pictures of a row of encode_row."""
    config = getattr(loaded.model.config, "vision_config", None)
    width = getattr(config, "embed_dim", None) or getattr(config, "hidden_size", None)
    width = width if isinstance(width, int) else hidden_size(loaded.model)
    side = getattr(config, "patch_size", None)
    side = side if isinstance(side, int) else 14
    values = sum(value.numel() for name, value in row.items() if name.startswith("pixel_values"))
    return values // (3 * side**2) * width * DEEP * loaded.dtype.itemsize


def in_batches(loaded: LoadedModel, lengths: Iterable[int], most: int) -> Iterator[slice]:
    """Rows of prompts of these lengths [tokens], in order, cut into batches of at most `most` rows whose keys
    and values are within bounds; a batch has at least one row. Of the lengths one more is asked for than has
    been cut.
    """
    return cut(((token_bytes(loaded) * length) for length in lengths), most, bounds(loaded).batch)


def cut(sizes: Iterable[int], most: int, room: int) -> Iterator[slice]:
    """Rows of these sizes, each of which takes what the largest of its batch does, cut into batches of at
    most `most` rows and `room`; a batch has at least one row.
    """
    start = largest = stop = 0
    for row, size in enumerate(sizes):
        largest, stop = max(largest, size), row + 1
        count = stop - start
        if count > 1 and (count > most or count * largest > room):
            yield slice(start, row)
            start, largest = row, size
    if stop > start:
        yield slice(start, stop)
