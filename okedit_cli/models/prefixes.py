"""Prompts read up to their last token, what they share read once: the same picture asked many things.

What comes before the question (system words, the picture) is run once a picture and its keys and values are
kept; then only the questions run. Whether a model allows that is measured on its first batch, not assumed:
attention that looks ahead, positions of a model's own, or state that is not keys and values rule it out.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.features import Look, cut_row, look
from okedit_cli.models.notes import note_embeds, with_note
from okedit_cli.models.question import question_token_ids, template_head
from okedit_cli.models.sites import decoder, image_token_id

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

SEEN = 64  # prefixes kept of pictures that only a prompt has shown
KEPT_BYTES = 1 << 30  # of prefixes: some hundred pictures of a small model
# relative to the spread of the logits: rounding stays below, another reading of the prompt does not
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
COARSE = 0.1
# generation settings that change what is likeliest: with one of them only generate() says what the model says
_RULES = {
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "bad_words_ids": None, "min_length": 0, "min_new_tokens": None,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "suppress_tokens": None,
    "begin_suppress_tokens": None, "sequence_bias": None, "guidance_scale": 1.0,
    "exponential_decay_length_penalty": None,
}  # fmt: skip


@dataclass
class Prompts:
    """B prompts in a cache but for their last token.

    mask [B, L - 1] of the cache's columns; last [B, 1] ids; positions [..., B, 1] of the last tokens (None:
    the model takes none); what each prompt is recognised by: question ids, and the prefix with its picture.
    """

    cache: Any
    mask: torch.Tensor
    last: torch.Tensor
    positions: torch.Tensor | None
    questions: list[list[int]]
    prefixes: list[Prefix]

    def inputs(self, answers: Sequence[Sequence[int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs of the last tokens and the answers behind them, padded on the right, and targets [B, T]."""
        longest = max(map(len, answers))
        ids = self.last.new_zeros(len(answers), longest)
        seen = self.mask.new_zeros(len(answers), longest)
        targets = torch.full_like(ids, -100)
        ids[:, :1], seen[:, 0] = self.last, 1
        for i, answer in enumerate(answers):
            row = torch.tensor(list(answer), device=ids.device)
            ids[i, 1 : len(row)] = row[:-1]
            seen[i, : len(row)] = 1
            targets[i, : len(row)] = row
        inputs = {"input_ids": ids, "attention_mask": torch.cat([self.mask, seen], 1)}
        if self.positions is not None:
            inputs["position_ids"] = self.positions + torch.arange(longest, device=ids.device)
        return inputs, targets


@dataclass
class Prefix:
    """One prefix: its cache of one row, how long it is, its last position, and the picture in it."""

    cache: Any
    length: int
    end: torch.Tensor  # [..., 1, 1]
    seen: Look | None  # None without a picture


def fork(cache: Any, rows: Sequence[int] | torch.Tensor | None = None) -> Any:
    """The same cache, or some rows of it, to go on from twice: layers that grow put new tensors in place."""
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    if rows is not None:
        for layer in twin.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return twin


def shares(loaded: LoadedModel) -> bool:
    """Whether prompts of this model may be read in two parts, measured once."""
    if "shares" not in loaded.cache:
        with unedited(loaded):
            loaded.cache["shares"] = _plain_rules(loaded) and _agrees(loaded)
    return loaded.cache["shares"]


def unedited(loaded: LoadedModel) -> AbstractContextManager[None]:
    """Context: the model by itself, whatever is attached to it."""
    attachment = loaded.cache.get("attachment")
    return nullcontext() if attachment is None else attachment.aside()


def _plain_rules(loaded: LoadedModel) -> bool:
    """Whether the likeliest token is the next one, and positions can be told."""
    config = loaded.model.generation_config
    if any(getattr(config, name, None) not in (None, plain) for name, plain in _RULES.items()):
        return False
    return "position_ids" in inspect.signature(loaded.model.forward).parameters


@torch.no_grad()
def _agrees(loaded: LoadedModel) -> bool:
    """Compare both readings of two unlike questions, with a picture where the model takes one."""
    from PIL import Image

    picture = None
    if loaded.processor is not None:
        picture = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    asked = [("What is this?", picture), ("Tell me, how many wheels has a car with four of them?", picture)]
    rows = [encode_row(loaded, *one) for one in asked]
    whole = loaded.model(**join_rows(loaded, rows)).logits[:, -1].float()
    try:
        prompts = read(loaded, asked)
        inputs, _ = prompts.inputs([[0], [0]])
        split = loaded.model(**inputs, past_key_values=prompts.cache, use_cache=True).logits[:, -1].float()
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return False  # another kind of cache, or a family that wants its prompts whole
    bound = TOLERANCE.get(loaded.dtype, COARSE) * whole.std()
    return bool((split - whole).abs().max() <= bound)


@torch.no_grad()
def read(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    noting: Callable[[list[list[int]], list[Prefix]], Sequence[str]] | None = None,
) -> Prompts:
    """Read prompts but for their last tokens, as the model would read them where `shares()` holds.

    `noting` is told the questions' ids and the prefixes, and tells the note that is to be written over each
    prompt's picture ("": none).
    """
    rows = [encode_row(loaded, prompt, picture) for prompt, picture in questions]
    prefixes = [prefix_of(loaded, row, picture) for row, (_, picture) in zip(rows, questions, strict=True)]
    ids = [row["input_ids"][0] for row in rows]
    asked = [question_token_ids(loaded, one, torch.ones_like(one)) for one in ids]
    if noting is not None:
        notes = noting(asked, prefixes)
        prefixes = [_noted(loaded, *one) if one[1] else one[0] for one in zip(prefixes, notes, strict=True)]
    rests = [one[prefix.length : -1] for one, prefix in zip(ids, prefixes, strict=True)]
    head, longest = max(prefix.length for prefix in prefixes), max(map(len, rests))
    mask = torch.zeros(len(rows), head + longest, dtype=torch.long)
    filled = torch.zeros(len(rows), longest, dtype=torch.long)
    ends = torch.cat([prefix.end for prefix in prefixes], dim=-2)
    counts = torch.tensor([len(rest) for rest in rests], device=ends.device)[:, None]
    for i, (rest, prefix) in enumerate(zip(rests, prefixes, strict=True)):
        mask[i, head - prefix.length : head] = 1
        mask[i, head + longest - len(rest) :] = 1
        filled[i, longest - len(rest) :] = rest
    mask, filled = mask.to(loaded.device), filled.to(loaded.device)
    cache = _joined([prefix.cache for prefix in prefixes], head)
    if longest:
        steps = torch.arange(longest, device=ends.device) - (longest - counts)  # pads count below the prefix
        where = (ends + 1 + steps).clamp_min(0)
        cache = loaded.model(
            input_ids=filled, attention_mask=mask, position_ids=where, past_key_values=cache, use_cache=True,
            **_last_logits(loaded),
        ).past_key_values  # fmt: skip
    return Prompts(
        cache,
        mask,
        torch.stack([one[-1:] for one in ids]).to(loaded.device),
        ends + 1 + counts,
        asked,
        prefixes,
    )


def _last_logits(loaded: LoadedModel) -> dict[str, int]:
    """Nobody looks at a prompt's logits: of a small model they are the larger part of the work."""
    known = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
    return {"logits_to_keep": 1} if known else {}


def prefix_of(loaded: LoadedModel, row: dict[str, torch.Tensor], picture: Image | None) -> Prefix:
    """The row's prefix, up to its picture's last placeholder or its template's opening."""
    ids, placeholder = row["input_ids"][0], image_token_id(loaded.model)
    if picture is not None:
        length = int((ids == placeholder).nonzero()[-1]) + 1
    else:
        length = template_head(loaded, ids.tolist())
    length = min(length, len(ids) - 1)
    kept: OrderedDict = loaded.cache.setdefault("prefixes", OrderedDict())
    key = (None if picture is None else id(picture), tuple(ids[:length].tolist()))
    if key not in kept:
        kept[key] = _read_prefix(loaded, row, length, picture)
        size = sum(layer.keys.nbytes + layer.values.nbytes for layer in kept[key].cache.layers)
        while len(kept) > max(1, KEPT_BYTES // max(1, size)):
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _read_prefix(loaded: LoadedModel, row: dict[str, torch.Tensor], length: int, picture: Any) -> Prefix:
    """Run one prefix by itself, so that it is the same whoever asks along."""
    first, seen, root = cut_row(row, length), None, decoder(loaded.model)
    if picture is None:
        batch = join_rows(loaded, [first])
        given = batch.get("position_ids")
        cache = root(**batch, use_cache=True).past_key_values
    else:
        seen = look(loaded, first, picture)
        given = seen.positions
        told = {} if given is None else {"position_ids": given}
        cache = root(inputs_embeds=seen.embeds, use_cache=True, **told).past_key_values
    end = torch.full((1, 1), length - 1, device=loaded.device) if given is None else given[..., -1:]
    if end.dim() > 2:  # behind a picture every axis goes on from the farthest
        end = end.amax(0, keepdim=True).expand_as(end)
    return Prefix(cache, length, end, seen)


def _noted(loaded: LoadedModel, prefix: Prefix, note: str) -> Prefix:
    """The prefix with a note over the last tokens of its picture."""
    kept: OrderedDict = loaded.cache.setdefault("noted", OrderedDict())
    seen = prefix.seen
    key = (id(seen), note)
    if key not in kept:
        embeds = with_note(seen.embeds[0], seen.places, note_embeds(loaded, note))[None]
        told = {} if seen.positions is None else {"position_ids": seen.positions}
        cache = decoder(loaded.model)(inputs_embeds=embeds, use_cache=True, **told).past_key_values
        kept[key] = Prefix(cache, prefix.length, prefix.end, seen)  # which also keeps the look's id its own
        while len(kept) > SEEN:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def from_embeds(loaded: LoadedModel, embeds: torch.Tensor, vector: torch.Tensor) -> Prefix:
    """A prefix of what stands in a decoder's input [1, p, d], whose picture nobody has at hand."""
    kept: OrderedDict = loaded.cache.setdefault("seen", OrderedDict())
    key = hashlib.sha256(embeds.float().cpu().numpy().tobytes()).digest()
    if key not in kept:
        cache = decoder(loaded.model)(inputs_embeds=embeds, use_cache=True).past_key_values
        end = torch.full((1, 1), embeds.shape[1] - 1, device=loaded.device)
        kept[key] = Prefix(cache, embeds.shape[1], end, Look(embeds, None, vector, None))
        while len(kept) > SEEN:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


@torch.no_grad()
def prompts_behind(loaded: LoadedModel, prefixes: Sequence[Prefix], rest: Sequence[int]) -> Prompts:
    """One prompt for each prefix: the prefix and the same ids behind it."""
    count, head = len(prefixes), max(prefix.length for prefix in prefixes)
    ids = torch.tensor([list(rest)] * count, device=loaded.device)
    ends = torch.cat([prefix.end for prefix in prefixes], dim=-2)
    where = ends + 1 + torch.arange(len(rest), device=loaded.device)
    mask = torch.ones(count, head + len(rest) - 1, dtype=torch.long, device=loaded.device)
    for row, prefix in enumerate(prefixes):
        mask[row, : head - prefix.length] = 0
    cache = _joined([prefix.cache for prefix in prefixes], head)
    if len(rest) > 1:
        cache = loaded.model(
            input_ids=ids[:, :-1], attention_mask=mask, position_ids=where[..., :-1], past_key_values=cache,
            use_cache=True, **_last_logits(loaded),
        ).past_key_values  # fmt: skip
    return Prompts(cache, mask, ids[:, -1:], where[..., -1:], [[]] * count, list(prefixes))


def _joined(caches: Sequence[Any], length: int) -> Any:
    """Caches of one row each as one batch, shorter ones filled up with zeros on the left."""

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
