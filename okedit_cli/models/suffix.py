"""Running only what an edit can change: the answer's tokens through the layers from the site upwards.

The prompt is read once and its keys and values are kept; then the last prompt token and the answer are run
once to the site. After that a step of fitting costs a few tokens through the upper layers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import check_length, encode
from okedit_cli.models.features import cut_row
from okedit_cli.models.hooks import add_to_layer, hidden_of, of_this_thread
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.prefixes import fork, together
from okedit_cli.models.reading import Prompts, read, shares
from okedit_cli.models.sites import decoder, decoder_layers, looks_both_ways

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


@dataclass
class Suffix:
    """Rows ready to be fitted: their cached prompts, and the answer part as it arrives at the site."""

    inputs: dict[str, torch.Tensor]  # of the answer part: input_ids [B, T], attention_mask [B, L + T], ...
    received: torch.Tensor  # [B, T, d] by the feed-forward part of the site's layer
    states: torch.Tensor  # [B, T, d] that come out of that layer
    rests: list[tuple | None]  # what each layer up to it returns besides its states; None: states alone
    prompt: Any  # the prompt's cache in the layers above; None where the prompt is one token
    targets: torch.Tensor  # [B, T] next tokens, -100 where there is none
    logits: torch.Tensor  # [B, T, V] of the unedited model

    def to_cache(self) -> Any:
        """The prompt's keys and values as a cache that may be written to."""
        return None if self.prompt is None else fork(self.prompt)

    def rows(self, chosen: torch.Tensor) -> Suffix:
        """Some of the rows [n], as if only they had been read."""
        inputs = {
            name: value[..., chosen, :] if name == "position_ids" else value[chosen]
            for name, value in self.inputs.items()
        }
        prompt = None if self.prompt is None else fork(self.prompt, chosen.tolist())
        kept = (part[chosen] for part in (self.received, self.states))
        return Suffix(inputs, *kept, self.rests, prompt, self.targets[chosen], self.logits[chosen])


@torch.no_grad()
def read_prompts(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    answers: Sequence[Sequence[int]],
    layer: int,
    *,
    at_once: bool = False,
) -> Suffix:
    """Read prompts and answers (ids) once, up to `layer`. The last prompt token begins the answer part.
    `at_once`: their pictures are read together, which is quicker, and by rounding other than one by one.
    """
    if shares(loaded):
        pictures = [picture for _, picture in questions if picture is not None]
        with together(loaded, pictures) if at_once and pictures else nullcontext():
            prompts = read(loaded, questions)
        prompts.prefixes = []  # which hold as much again
    else:
        prompts = _read(loaded, encode(loaded, questions))
    inputs, targets = prompts.inputs(answers)
    check_length(loaded, int(inputs["attention_mask"].sum(1).max()), "prompt with its answer")
    layers = decoder_layers(loaded.model)
    rests: list[tuple | None] = [None] * (layer + 1)
    came: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(x: torch.Tensor, states: torch.Tensor) -> None:
        came.append((x, states))

    def rest(number: int) -> Callable[..., None]:
        def hook(module: Any, args: tuple, output: Any) -> None:
            rests[number] = output[1:] if isinstance(output, tuple) else None

        return of_this_thread(hook)

    with ExitStack() as stack:
        for number, module in enumerate(layers[: layer + 1]):
            stack.callback(module.register_forward_hook(rest(number)).remove)
        for handle in add_to_layer(layers[layer], of_this_thread(look)):
            stack.callback(handle.remove)
        prompt = None if prompts.cache is None else _above(prompts.cache, layer)
        # what grows here is the only one that is held in the other layers
        logits = loaded.forward(**inputs, **taking(loaded.speaker, prompts.cache)).logits
    return Suffix(inputs, *came[0], rests, prompt, targets, logits)


def _above(cache: Any, layer: int) -> Any:
    """The cache with nothing but its length in the layers up to `layer`, which are not run again."""
    light = fork(cache)
    for kept in light.layers[: layer + 1]:
        if kept.keys is None:  # of a picture that the prompt has not
            continue
        kept.keys = kept.keys.new_zeros(len(kept.keys), 1, kept.keys.shape[-2], 1)
        kept.values = kept.keys
    return light


def _read(loaded: LoadedModel, batch: dict[str, torch.Tensor]) -> Prompts:
    """Left-padded prompts but for their last token, each read whole."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    length = ids.shape[1]
    given, cache = batch.get("position_ids"), None
    following = torch.zeros_like(ids) if given is None else given
    if length > 1:
        # where a prompt looks both ways its last token is seen by the others, and read again
        whole = looks_both_ways(loaded)
        first = batch if whole else cut_row(batch, length - 1)
        found: list[torch.Tensor | None] = []
        handle = decoder(loaded.model).register_forward_pre_hook(
            lambda module, args, kwargs: found.append(kwargs.get("position_ids")), with_kwargs=True
        )
        try:
            cache = cache_of(loaded.forward(**first, use_cache=True))
        finally:
            handle.remove()
        if whole:
            cache = _without_last(cache)
            found = [where if where is None else where[..., :-1] for where in found]
        if given is not None:
            following = given[:, -1:]
        elif found[0] is not None:
            following = found[0][..., -1:] + 1
        else:
            following = torch.full_like(ids[:, :1], length - 1)
    if following.shape[-2] != len(ids):  # told of all rows at once
        following = following.expand(*following.shape[:-2], len(ids), following.shape[-1])
    # Told, not left to the model: Qwen2-VL would count on from the batch that it read last.
    told = "position_ids" in inspect.signature(loaded.model.forward).parameters
    return Prompts(cache, mask[:, :-1], ids[:, -1:], following if told else None, [], [])


def _passing(rest: tuple | None) -> Callable[..., Any]:
    """The forward pass of a layer that does nothing."""

    def forward(*args, **kwargs):
        hidden = hidden_of(args, kwargs)
        return hidden if rest is None else (hidden, *rest)

    return forward


def _without_last(cache: Any) -> Any:
    """The cache of all columns but the last."""
    shorter = fork(cache)
    for layer in shorter.layers:
        layer.keys, layer.values = layer.keys[..., :-1, :], layer.values[..., :-1, :]
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length -= 1
    return shorter


@contextmanager
def _speaking(head: torch.nn.Module, vocabulary: torch.Tensor) -> Iterator[None]:
    """The output layer computes these tokens only: of a small model it is the larger part of the work. One
    that is quantised, off-loaded or has an adapter beside it computes all, of which these are kept.
    """
    if type(head).__name__ != "Linear" or head.weight.device.type == "meta" or hasattr(head, "_hf_hook"):
        handle = head.register_forward_hook(lambda module, args, output: output[..., vocabulary])
        try:
            yield
        finally:
            handle.remove()
        return
    weight, bias = head.weight[vocabulary], getattr(head, "bias", None)
    bias = None if bias is None else bias[vocabulary]
    with _instead(head, lambda hidden: torch.nn.functional.linear(hidden, weight, bias)):
        yield


@contextmanager
def _instead(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """A module does this instead of its own work."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            module.__dict__.pop("forward", None)
        else:  # somebody had put a forward of theirs on this very module
            module.forward = before


def run_suffix(
    loaded: LoadedModel,
    suffix: Suffix,
    change: Callable[[torch.Tensor], torch.Tensor],
    vocabulary: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits [B, T, V] of the answer part with `change(x) -> [B, T, d]` added to what the site's layer
    gives; of the tokens in `vocabulary` alone where it is given.
    """
    layers, rest = decoder_layers(loaded.model)[: len(suffix.rests)], suffix.rests[-1]

    def came(*args, **kwargs):
        changed = suffix.states + change(suffix.received).to(suffix.states.dtype)
        return changed if rest is None else (changed, *rest)

    with ExitStack() as stack:
        for layer, given in zip(layers[:-1], suffix.rests, strict=False):
            stack.enter_context(_instead(layer, _passing(given)))
        stack.enter_context(_instead(layers[-1], came))
        if vocabulary is not None:
            stack.enter_context(_speaking(loaded.model.get_output_embeddings(), vocabulary))
        return loaded.forward(**suffix.inputs, **taking(loaded.speaker, suffix.to_cache())).logits
