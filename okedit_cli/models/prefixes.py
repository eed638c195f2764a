"""What comes before a question, read once: system words and a picture, in keys and values that are kept.

Many questions about one picture share its prefix (models/reading.py).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bounded import Bounded
from okedit_cli.facts.pictures import held_bytes
from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.features import Look, cut_row, look, look_of
from okedit_cli.models.kv import cache_of
from okedit_cli.models.memory import bounds, in_batches
from okedit_cli.models.notes import note_embeds, note_start, reading_notes, with_note
from okedit_cli.models.question import template_head
from okedit_cli.models.sites import decoder, image_token_id

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

TOGETHER = 16  # prefixes that are read as one batch, where memory is for them


@dataclass
class Prefix:
    """One prefix: its cache of one row, how long it is, its last position, and the picture in it."""

    cache: Any
    length: int
    end: torch.Tensor  # [..., 1, 1]
    seen: Look | None  # None without a picture


def fork(cache: Any, rows: Sequence[int] | torch.Tensor | slice | None = None) -> Any:
    """The same cache, or some rows of it, to go on from twice: layers that grow put new tensors in place."""
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    if rows is not None:
        for layer in twin.layers:
            if layer.keys is None:  # Mllama's of a picture, where there is none
                continue
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return twin


def take_rows(cache: Any, rows: Sequence[int]) -> None:
    """Leave a cache some of its rows, layer after layer, so that it is never held twice."""
    for layer in cache.layers:
        if layer.keys is not None:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]


def unedited(loaded: LoadedModel) -> AbstractContextManager[None]:
    """Context: nothing is decided, whatever is attached; weights are as they are."""
    return nullcontext() if loaded.session is None else loaded.session.at_rest()


def prefix_of(loaded: LoadedModel, row: dict[str, torch.Tensor], picture: Image | None) -> Prefix:
    """The row's prefix, up to its picture's last placeholder or its template's opening."""
    length, key = _place(loaded, row, picture)
    if (prefix := _known(loaded, key)) is None:
        prefix = read_prefix(loaded, row, length, picture)
        _keep(loaded, key, prefix)
    return prefix


def _keep(loaded: LoadedModel, key: tuple, prefix: Prefix) -> None:
    kept: Bounded = loaded.cache.setdefault("prefixes", Bounded())
    size = _bytes(prefix) + (held_bytes(prefix.seen.picture) if prefix.seen else 0)
    kept.put(key, prefix, size, bounds(loaded).prefixes)


def _bytes(prefix: Prefix) -> int:
    """Of a prefix's keys and values."""
    return sum(part.nbytes for layer in prefix.cache.layers for part in (layer.keys, layer.values))


def prefix_behind(loaded: LoadedModel, picture: Image) -> Prefix:
    """The prefix of a picture, for any question."""
    known = _known(loaded, (id(picture), look_of(loaded, picture).ids))
    return known or prefix_of(loaded, encode_row(loaded, "?", picture), picture)


def _known(loaded: LoadedModel, key: tuple) -> Prefix | None:
    """What is kept under a key, a draft before what was read by itself."""
    found = loaded.cache.get("drafts", {}).get(key)
    return found or loaded.cache.get("prefixes", {}).get(key)


def forget_prefixes(loaded: LoadedModel) -> None:
    """Forget all prefixes, where others will be asked for from now on."""
    loaded.cache.pop("prefixes", None)


def _place(loaded: LoadedModel, row: dict[str, torch.Tensor], picture: Image | None) -> tuple[int, tuple]:
    """How long a row's prefix is, and what it is kept under."""
    ids, placeholder = row["input_ids"][0], image_token_id(loaded.model)
    if picture is not None:
        length = int((ids == placeholder).nonzero()[-1]) + 1
    else:
        length = template_head(loaded, ids.tolist())
    length = min(length, len(ids) - 1)
    return length, (None if picture is None else id(picture), tuple(ids[:length].tolist()))


@contextmanager
def together(loaded: LoadedModel, pictures: Sequence[Image], keep: bool = False) -> Iterator[None]:
    """Context: the prefixes of these pictures are read many at a time, and forgotten behind it, or kept.

    Several times quicker than one by one, and other than that by rounding: good for fitting, while a model
    that answers reads each picture by itself.
    """
    with unedited(loaded):
        loaded.cache["drafts"] = _drafts(loaded, pictures)
    try:
        yield
    finally:
        drafts, loaded.cache["drafts"] = loaded.cache["drafts"], {}
        for key, prefix in drafts.items() if keep else ():
            _keep(loaded, key, prefix)


def _drafts(loaded: LoadedModel, pictures: Sequence[Image]) -> dict[tuple, Prefix]:
    """Prefixes of pictures, those of one length read as one batch."""
    kept, drafts = loaded.cache.get("prefixes", {}), {}
    alike: dict[tuple, list[tuple[tuple, int, Look]]] = {}
    for picture in {id(picture): picture for picture in pictures}.values():
        seen = look_of(loaded, picture)
        length, key = len(seen.ids), (id(picture), seen.ids)
        if key not in kept:
            shape = None if seen.positions is None else seen.positions.shape
            alike.setdefault((length, shape), []).append((key, length, seen))
    for rows in alike.values():
        for part in (rows[some] for some in in_batches(loaded, [row[1] for row in rows], TOGETHER)):
            drafts |= zip([key for key, _, _ in part], _read_looks(loaded, part), strict=True)
    return drafts


@torch.no_grad()
def _read_looks(loaded: LoadedModel, rows: Sequence[tuple[tuple, int, Look]]) -> list[Prefix]:
    """Prefixes of looks of one length, run as one batch."""
    looks = [seen for _, _, seen in rows]
    positions = None
    if looks[0].positions is not None:
        positions = torch.cat([seen.positions for seen in looks], -2)
    cache = _run(loaded, torch.cat([seen.embeds for seen in looks]), positions)
    return [
        Prefix(fork(cache, [i]), length, _end(loaded, length, seen.positions), seen)
        for i, (_, length, seen) in enumerate(rows)
    ]


def _run(loaded: LoadedModel, embeds: torch.Tensor, positions: torch.Tensor | None = None) -> Any:
    """The cache behind decoder inputs [B, p, d]; `positions` as the model told them (None: it told none)."""
    told = {} if positions is None else {"position_ids": positions}
    return cache_of(decoder(loaded.model)(inputs_embeds=embeds, use_cache=True, **told))


def _end(loaded: LoadedModel, length: int, positions: torch.Tensor | None) -> torch.Tensor:
    """The last position [..., 1, 1] of a prefix."""
    end = torch.full((1, 1), length - 1, device=loaded.device) if positions is None else positions[..., -1:]
    # behind a picture every axis goes on from the farthest
    return end.amax(0, keepdim=True).expand_as(end) if end.dim() > 2 else end


def read_prefix(loaded: LoadedModel, row: dict[str, torch.Tensor], length: int, picture: Any) -> Prefix:
    """Run one prefix by itself, so that it is the same whoever asks along."""
    first, seen = cut_row(row, length), None
    if picture is None:
        batch = join_rows(loaded, [first])
        given = batch.get("position_ids")
        cache = cache_of(decoder(loaded.model)(**batch, use_cache=True))
    else:
        seen = look(loaded, first, picture)
        given = seen.positions
        cache = _run(loaded, seen.embeds, given)
    return Prefix(cache, length, _end(loaded, length, given), seen)


def noted(loaded: LoadedModel, prefix: Prefix, note: str) -> Prefix:
    """The prefix with a note over the last tokens of its picture."""
    seen = prefix.seen

    kept: Bounded = loaded.cache.setdefault("noted", Bounded())
    key = (id(seen), note)
    if key not in kept:
        words = note_embeds(loaded, note)
        embeds = with_note(seen.embeds[0], seen.places, words)[None]
        with reading_notes(loaded, [note_start(seen.places, words)]):
            # the look goes along, so that its id is not given out again
            found = replace(prefix, cache=_run(loaded, embeds, seen.positions))
        kept.put(key, found, _bytes(found), bounds(loaded).prefixes // 2)
    return kept[key]


def joined(caches: Sequence[Any], length: int) -> Any:
    """The rows of caches as one batch, shorter ones filled up with zeros on the left."""

    def column(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(
            [torch.nn.functional.pad(t, (0, 0, length - t.shape[-2], 0)) if t.shape[-2] < length else t
             for t in tensors]
        )  # fmt: skip

    whole = fork(caches[0])
    for number, layer in enumerate(whole.layers):
        layer.keys = column([cache.layers[number].keys for cache in caches])
        layer.values = column([cache.layers[number].values for cache in caches])
    return whole
