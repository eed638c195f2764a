"""Running only what an edit can change: the answer's tokens through the layers from the site upwards.

The prompt is read once and its keys and values are kept; then the last prompt token and the answer are run once to
the site. After that a step of fitting costs a few tokens through the upper layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.encode import encode
from okedit_cli.models.features import hidden_of
from okedit_cli.models.sites import decoder_layers, mlp_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


@dataclass
class Suffix:
    """Rows ready to be fitted: their cached prompts, and the answer part as it arrives at the site."""

    inputs: dict[str, torch.Tensor]  # of the answer part: input_ids [B, T], attention_mask [B, L + T], ...
    states: torch.Tensor  # [B, T, d] at the site layer's input
    prompt: list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of the prompt, a layer each
    targets: torch.Tensor  # [B, T] next tokens, -100 where there is none
    logits: torch.Tensor  # [B, T, V] of the unedited model

    def to_cache(self):
        """The prompt's keys and values as a new cache, so that a run leaves no trace."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.prompt):
            cache.update(keys, values, index)
        return cache


@torch.no_grad()
def read_prompts(
    loaded: LoadedModel, questions: Sequence[tuple[str, Image | None]], answers: Sequence[Sequence[int]], layer: int
) -> Suffix:
    """Read prompts and answers (ids) once, up to `layer`. The last prompt token is the answer part's first."""
    batch = encode(loaded, questions)
    ids, mask = batch.pop("input_ids"), batch.pop("attention_mask")
    rest = {k: v for k, v in batch.items() if v.shape[:2] != ids.shape}
    along = {k: v for k, v in batch.items() if v.shape[:2] == ids.shape}
    first = {k: v[:, :-1] for k, v in along.items()}
    out = loaded.model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], **first, **rest, use_cache=True)
    cache = out.past_key_values
    longest = max(map(len, answers))
    tail = ids.new_zeros(len(ids), longest)
    seen = mask.new_zeros(len(ids), longest)
    targets = torch.full_like(tail, -100)
    for i, answer in enumerate(answers):
        row = torch.tensor(list(answer), device=ids.device)
        tail[i, : len(row) - 1] = row[:-1]
        seen[i, : len(row) - 1] = 1
        targets[i, : len(row)] = row
    inputs = {
        "input_ids": torch.cat([ids[:, -1:], tail[:, : longest - 1]], 1),
        "attention_mask": torch.cat([mask, seen[:, : longest - 1]], 1),
    }
    if "position_ids" in along:
        steps = torch.arange(longest, device=ids.device)
        inputs["position_ids"] = along["position_ids"][:, -1:] + steps
    prompt = [(layer_.keys, layer_.values) for layer_ in cache.layers]
    found: dict[str, torch.Tensor] = {}

    def catch(module, args, kwargs):
        found["states"] = hidden_of(args, kwargs).detach()

    with ExitStack() as stack:
        handle = decoder_layers(loaded.model)[layer].register_forward_pre_hook(catch, with_kwargs=True)
        stack.callback(handle.remove)
        logits = loaded.model(**inputs, past_key_values=cache, use_cache=True).logits
    return Suffix(inputs, found["states"], prompt, targets, logits)


@contextmanager
def _skipping(layers: Sequence[torch.nn.Module], count: int, states: torch.Tensor) -> Iterator[None]:
    """The first `count` layers do nothing; the next one receives `states`."""

    def put(module, args, kwargs):
        if args:
            return (states, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": states}

    def passing(module):
        shape = module.__dict__.get("_okedit_tuple")

        def forward(*args, **kwargs):
            hidden = hidden_of(args, kwargs)
            return (hidden,) if shape else hidden

        return forward

    handle = layers[count].register_forward_pre_hook(put, with_kwargs=True)
    try:
        for layer in layers[:count]:
            layer.forward = passing(layer)
        yield
    finally:
        handle.remove()
        for layer in layers[:count]:
            layer.__dict__.pop("forward", None)


def run_suffix(loaded: LoadedModel, suffix: Suffix, layer: int, change) -> torch.Tensor:
    """Logits [B, T, V] of the answer part with `change(x) -> [B, T, d]` added to the site's feed-forward output."""
    layers = decoder_layers(loaded.model)

    def add(module, args, output):
        return output + change(args[0]).to(output.dtype)

    handle = mlp_of(layers[layer]).register_forward_hook(add)
    try:
        with _skipping(layers, layer, suffix.states):
            cache = suffix.to_cache()
            return loaded.model(**suffix.inputs, past_key_values=cache, use_cache=True).logits
    finally:
        handle.remove()
