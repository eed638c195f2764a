"""How much a forward pass may hold: batches are cut by the bytes of their keys and values, not by a count.

The bound is the same on every machine, so that what is read together, and with it rounding, is too. Not here:
what is kept between passes (bounded.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from okedit_cli.models.sites import text_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okedit_cli.models.load import LoadedModel

KV_BYTES = 512 << 20  # of the prompts that are read as one batch


def token_bytes(loaded: LoadedModel) -> int:
    """Bytes of keys and values that one token takes over all layers of the decoder."""
    config = text_config(loaded.model)
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * config.num_hidden_layers * kept * width * loaded.dtype.itemsize


def in_batches(loaded: LoadedModel, lengths: Sequence[int], most: int) -> list[slice]:
    """Rows of prompts of these lengths [tokens], in order, cut into batches of at most `most` rows and
    KV_BYTES; a batch has at least one row.
    """
    room = 0 if loaded.cache.get("low memory") else KV_BYTES // token_bytes(loaded)
    out, start, longest = [], 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        count = row - start + 1
        if count > 1 and (count > most or count * longest > room):
            out.append(slice(start, row))
            start, longest = row, length
    if len(lengths):
        out.append(slice(start, len(lengths)))
    return out


@contextmanager
def low_memory(loaded: LoadedModel) -> Iterator[None]:
    """Context: prompts are read one by one."""
    before = loaded.cache.get("low memory")
    loaded.cache["low memory"] = True
    try:
        yield
    finally:
        loaded.cache["low memory"] = before
