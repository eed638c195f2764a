"""Prompts read up to their last token, what they share read once: the same picture asked many things.

What comes before the question (models/prefixes.py) is run once a picture; then only the questions run.
Whether a model allows that is measured on its first batch, not assumed: attention that looks ahead, positions
of a model's own, or state that is not keys and values rule it out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import check_length, encode_row, join_rows
from okedit_cli.models.features import look_of
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.notes import reading_notes
from okedit_cli.models.prefixes import Prefix, fork, joined, noted, prefix_behind, prefix_of, unedited
from okedit_cli.models.question import asks_behind, behind_picture, question_token_ids
from okedit_cli.models.sites import text_config

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

# relative to the spread of the logits: rounding stays below, another reading of the prompt does not
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
COARSE = 0.1
ROWS = 32  # prompts that are read as one batch
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


def shares(loaded: LoadedModel) -> bool:
    """Whether prompts of this model may be read in two parts, measured once."""
    if "shares" not in loaded.cache:
        with unedited(loaded):
            loaded.cache["shares"] = _plain_rules(loaded) and _agrees(loaded)
    return loaded.cache["shares"]


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
    whole = loaded.forward(**join_rows(loaded, rows)).logits[:, -1].float()
    try:
        prompts = read(loaded, asked)
        inputs, _ = prompts.inputs([[0], [0]])
        split = loaded.forward(**inputs, **taking(loaded.speaker, prompts.cache)).logits[:, -1].float()
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return False  # another kind of cache, or a family that wants its prompts whole
    if _forgets(loaded, prompts.cache):
        return False
    bound = TOLERANCE.get(loaded.dtype, COARSE) * whole.std()
    return bool((split - whole).abs().max() <= bound)


def _forgets(loaded: LoadedModel, cache: Any) -> bool:
    """Whether a layer keeps fewer columns than a prompt may have: rows of several lengths cannot be joined
    behind its window.
    """
    longest = getattr(text_config(loaded.model), "max_position_embeddings", None) or float("inf")
    windows = [getattr(layer, "sliding_window", None) for layer in cache.layers]
    return any(window is not None and window <= longest for window in windows)


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
    ids, prefixes = zip(*(_begun(loaded, *question) for question in questions), strict=True)
    asked = [question_token_ids(loaded, one, torch.ones_like(one)) for one in ids]
    notes = [""] * len(ids)
    if noting is not None:
        notes = noting(asked, prefixes)
        prefixes = [noted(loaded, *one) if one[1] else one[0] for one in zip(prefixes, notes, strict=True)]
    rests = [one[prefix.length : -1] for one, prefix in zip(ids, prefixes, strict=True)]
    ends = torch.cat([prefix.end for prefix in prefixes], dim=-2)
    counts = torch.tensor([len(rest) for rest in rests], device=ends.device)[:, None]
    cache, mask = _read_rests(loaded, prefixes, rests, notes)
    last = torch.stack([one[-1:] for one in ids]).to(loaded.device)
    return Prompts(cache, mask, last, ends + 1 + counts, asked, prefixes)


def prompt_tokens(loaded: LoadedModel, prompt: str, picture: Image | None) -> int:
    """How many tokens a prompt has, quickly where its picture was looked at."""
    if picture is not None and shares(loaded) and asks_behind(loaded):
        return len(look_of(loaded, picture).ids) + len(behind_picture(loaded, prompt))
    return encode_row(loaded, prompt, picture)["input_ids"].shape[1]


def prompt_ids(loaded: LoadedModel, prompt: str, picture: Image | None) -> torch.Tensor:
    """The ids [L] of a prompt, quickly where its picture was looked at."""
    if shares(loaded):
        return _begun(loaded, prompt, picture)[0]
    return encode_row(loaded, prompt, picture)["input_ids"][0]


def _begun(loaded: LoadedModel, prompt: str, picture: Image | None) -> tuple[torch.Tensor, Prefix]:
    """A prompt's ids [L] and its prefix; a picture that was looked at is not made into pixels again."""
    if picture is None or loaded.processor is None or not asks_behind(loaded):
        row = encode_row(loaded, prompt, picture)
        return row["input_ids"][0], prefix_of(loaded, row, picture)
    prefix = prefix_behind(loaded, picture)
    ids = [*prefix.seen.ids, *behind_picture(loaded, prompt)]
    check_length(loaded, len(ids))
    return torch.tensor(ids), prefix


def _read_rests(
    loaded: LoadedModel, prefixes: Sequence[Prefix], rests: Sequence[torch.Tensor], notes: Sequence[str]
) -> tuple[Any, torch.Tensor]:
    """The cache behind the prefixes and what follows each, and the mask of its columns. Of many rows those of
    about one length are read together: pads cost as much as words.
    """
    if len(rests) <= ROWS:
        return _read_part(loaded, prefixes, rests, notes)
    order = sorted(range(len(rests)), key=lambda i: len(rests[i]))
    caches, masks = [], []
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        cache, mask = _read_part(loaded, *([of[i] for i in part] for of in (prefixes, rests, notes)))
        caches.append(cache)
        masks.append(mask)
    width = max(mask.shape[1] for mask in masks)
    mask = torch.cat([torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in masks])
    asked = torch.tensor(order).argsort().to(mask.device)  # as they were given
    return fork(joined(caches, width), asked), mask[asked]


def _read_part(
    loaded: LoadedModel, prefixes: Sequence[Prefix], rests: Sequence[torch.Tensor], notes: Sequence[str]
) -> tuple[Any, torch.Tensor]:
    """The same of a few rows, as one batch."""
    head, longest = max(prefix.length for prefix in prefixes), max(map(len, rests))
    mask = torch.zeros(len(rests), head + longest, dtype=torch.long)
    filled = torch.zeros(len(rests), longest, dtype=torch.long)
    ends = torch.cat([prefix.end for prefix in prefixes], dim=-2)
    counts = torch.tensor([len(rest) for rest in rests], device=ends.device)[:, None]
    for i, (rest, prefix) in enumerate(zip(rests, prefixes, strict=True)):
        mask[i, head - prefix.length : head] = 1
        mask[i, head + longest - len(rest) :] = 1
        filled[i, longest - len(rest) :] = rest
    mask, filled = mask.to(loaded.device), filled.to(loaded.device)
    cache = joined([prefix.cache for prefix in prefixes], head)
    if longest:
        steps = torch.arange(longest, device=ends.device) - (longest - counts)  # pads count below the prefix
        where = (ends + 1 + steps).clamp_min(0)
        with reading_notes(loaded, [0 if note else None for note in notes]):
            told = {"input_ids": filled, "attention_mask": mask, "position_ids": where}
            cache = _read_on(loaded, cache, told)
    return cache, mask


def _read_on(loaded: LoadedModel, cache: Any, told: dict[str, torch.Tensor]) -> Any:
    """The cache behind what is told, going on from a cache."""
    return cache_of(loaded.forward(**told, **taking(loaded.speaker, cache), **_last_logits(loaded)))


def _last_logits(loaded: LoadedModel) -> dict[str, int]:
    """Nobody looks at a prompt's logits: of a small model they are the larger part of the work."""
    known = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
    return {"logits_to_keep": 1} if known else {}
