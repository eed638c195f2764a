"""Greedy generation, the same for an answer and for what the unedited model would say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import end_ids
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.prefixes import fork, take_rows
from okedit_cli.models.reading import Prompts

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


@torch.no_grad()
def greedy(
    loaded: LoadedModel, inputs: Mapping[str, torch.Tensor], count: int, **options: Any
) -> torch.Tensor:
    """Up to `count` ids behind each prompt [B, <= count]; rows that end early are filled up with the end. The
    options are those of generate().
    """
    # generate() counts positions itself, and goes on counting; encode's are for plain forward passes
    inputs = {key: value for key, value in inputs.items() if key != "position_ids"}
    ends = end_ids(loaded)
    if ends:
        options = {"eos_token_id": ends, "pad_token_id": ends[0], **options}
    out = loaded.generate(**inputs, max_new_tokens=count, do_sample=False, **{"num_beams": 1, **options})
    return out[:, inputs["input_ids"].shape[1] :]


@torch.no_grad()
def go_on(
    loaded: LoadedModel,
    prompts: Prompts,
    count: int | Sequence[int],
    *,
    ended: bool = True,
    keep: Callable[[list[int]], None] = lambda rows: None,
    once: bool = False,
) -> list[list[int]]:
    """Up to `count` greedy ids, which may differ from row to row, behind each of the prompts; without `ended`
    no row may end before.

    `once`: the prompts' cache is given up, which is else held beside the one that grows. Rows that have ended
    leave the batch; `keep` is told which of those still in it stay.
    """
    ends = end_ids(loaded)
    out: list[list[int]] = [[] for _ in prompts.last]
    rows = list(range(len(out)))
    cache, ids, mask, where = fork(prompts.cache), prompts.last, prompts.mask, prompts.positions
    if once:
        prompts.cache, prompts.prefixes = None, []
    counts = [count] * len(rows) if isinstance(count, int) else list(count)
    for step in range(max(counts)):
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        told = {} if where is None else {"position_ids": where + step}
        given = loaded.forward(input_ids=ids, attention_mask=mask, **told, **taking(loaded.speaker, cache))
        cache, logits = cache_of(given), given.logits[:, -1]
        if not ended and ends:
            logits[:, ends] = -torch.inf
        ids = logits.argmax(-1, keepdim=True)
        said = ids[:, 0].tolist()
        for row, token in zip(rows, said, strict=True):
            out[row].append(token)
        left = [step + 1 < counts[row] for row in rows]
        going = [i for i, token in enumerate(said) if token not in ends and left[i]]
        if not going:
            break
        if len(going) < len(rows):
            rows, ids, mask = [rows[i] for i in going], ids[going], mask[going]
            take_rows(cache, going)
            where = None if where is None else where[..., going, :]
            keep(going)
    return out
