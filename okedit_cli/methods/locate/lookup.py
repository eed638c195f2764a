"""Where a fact is looked up in a prompt, and how the layers read it there.

Published, a fact is looked up at its subject's last token. Facts here name no subject: it is the longest name
in the prompt, and where there is none, or the question is about a picture, the prompt's last token stands in
for it (of pictures experimental: nobody has published where a model looks them up). Prompts are read with a
few texts before them, so that a key does not depend on how a conversation began; these are fixed here and
sampled from the model in the published code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.methods.tuning import located
from okedit_cli.models.encode import encode, encode_row
from okedit_cli.models.features import cut_row
from okedit_cli.models.hooks import hidden_of
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.points import Point
from okedit_cli.models.prefixes import fork
from okedit_cli.models.prompts import adds_special_tokens, render
from okedit_cli.models.reading import shares
from okedit_cli.models.sites import decoder, decoder_layers
from okedit_cli.samples.wording import entity_spans

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

# MEMIT lets the model go on from "The", "Therefore", "Because", "I" and "You" for ten tokens
PREFIXES = (
    "The weather has been fine today.",
    "Therefore we went on with it.",
    "Because of this, it took a while.",
    "I have been thinking about that.",
    "You may want to look it up.",
)


@dataclass(frozen=True)
class Place:
    """A fact's prompt and picture, its subject (None: there is none), and how many tokens from the subject's
    last one to the prompt's end, both counted.
    """

    prompt: str
    picture: Image | None
    subject: str | None
    tail: int

    def prompts(self, prefixes: int) -> list[tuple[str, Image | None]]:
        """The prompt, and the prompt behind so many texts."""
        told = [f"{text} {self.prompt}" for text in PREFIXES[:prefixes]]
        return [(text, self.picture) for text in (self.prompt, *told)]


def place_of(loaded: LoadedModel, prompt: str, picture: Image | None) -> Place:
    """Where a question is looked up."""
    names = [] if picture is not None else entity_spans(prompt)
    for name in names:
        if (tail := tail_behind(loaded, prompt, name)) is not None:
            return Place(prompt, picture, name, tail)
    return Place(prompt, picture, None, 1)


def tail_behind(loaded: LoadedModel, prompt: str, subject: str) -> int | None:
    """Tokens from the subject's last one to the end of a prompt without picture; None: it is not in there."""
    text = render(loaded, prompt, False)
    end = text.rfind(subject)
    if end < 0:
        return None
    ids = encode_row(loaded, prompt, None)["input_ids"][0].tolist()
    head = loaded.tokenizer(text[: end + len(subject)], add_special_tokens=adds_special_tokens(loaded, text))[
        "input_ids"
    ]
    while head and head[-1] in loaded.tokenizer.all_special_ids and head[-1] != ids[len(head) - 1]:
        head.pop()  # the token that ends a text, of tokenizers that write one
    shared = next((i for i, (a, b) in enumerate(zip(head, ids, strict=False)) if a != b), len(head))
    # where the subject's end and what follows are one token, that token is the last
    return len(ids) - (shared - 1 if shared == len(head) else shared)


class _Read(Exception):
    """The layer has been read."""


@dataclass(frozen=True, eq=False)
class Seen:
    """At the places of rows: keys [B, d] by layer, and states [B, h] out of the last of the layers."""

    keys: dict[int, torch.Tensor]
    states: torch.Tensor


@torch.no_grad()
def see(loaded: LoadedModel, place: Place, layers: Sequence[int], prefixes: int) -> Seen:
    """Read a fact's prompts up to the last of the layers, which are ascending."""
    batch = encode(loaded, place.prompts(prefixes))
    shape = batch["input_ids"].shape
    keys: dict[int, torch.Tensor] = {}
    states: list[torch.Tensor] = []

    def key(layer: int):
        def hook(module, args):
            keys[layer] = args[0].reshape(*shape, -1)[:, -place.tail].float()

        return hook

    def state(module, args, output):
        states.append((output[0] if isinstance(output, tuple) else output)[:, -place.tail].float())
        raise _Read

    with ExitStack() as stack:
        for layer in layers:
            module = located(loaded, Point(layer, "mlp_out")).module
            stack.callback(module.register_forward_pre_hook(key(layer)).remove)
        module = decoder_layers(loaded.model)[layers[-1]]
        stack.callback(module.register_forward_hook(state).remove)
        with suppress(_Read):
            loaded.forward(**batch)
    return Seen(keys, states[0])


@dataclass(eq=False)
class Reading:
    """Rows that have been read as far as a change at their place leaves them alone: tokens before it in a
    cache, layers up to the site in `states` [B, T, h], which come out of it.
    """

    loaded: LoadedModel
    layer: int
    inputs: dict[str, torch.Tensor]  # of the tokens from the place on
    cache: Any  # None: all tokens are in `inputs`
    place: int  # column of T
    states: torch.Tensor
    rests: list[tuple | None]  # what each layer up to the site returns besides; None: states alone

    @property
    def state(self) -> torch.Tensor:
        """What the first row's place holds without a change [h], fp32."""
        return self.states[0, self.place].float()

    def logits(self, change: torch.Tensor, count: int) -> torch.Tensor:
        """Logits [B, count, V] of the last columns, fp32, with `change` [h] added at the place."""
        whole = self.states.float()
        here = torch.zeros_like(whole[:1, :, :1])
        here[:, self.place] = 1
        changed = (whole + here * change).to(self.states.dtype)
        known = "logits_to_keep" in inspect.signature(self.loaded.model.forward).parameters
        kept = {"logits_to_keep": count} if known else {}
        cache = {} if self.cache is None else taking(self.loaded.model, fork(self.cache))
        with _put(decoder_layers(self.loaded.model), changed, self.rests):
            out = self.loaded.forward(**self.inputs, **cache, **kept).logits
        return out[:, -count:].float()


@torch.no_grad()
def read_to(
    loaded: LoadedModel,
    rows: Sequence[tuple[str, Image | None]],
    answer: Sequence[int],
    tail: int,
    layer: int,
    cut: int = 0,
) -> Reading:
    """Read prompts with an answer behind each, looked up `tail` tokens before the prompt's end; `cut`: how
    many of the prompt's last tokens are left out.
    """
    batch = encode(loaded, rows, answers=[answer] * len(rows) if answer else None)
    length = batch["input_ids"].shape[1] - cut
    batch = cut_row(batch, length)
    start = length - (tail - cut) - len(answer)
    inputs, cache = batch, None
    if start > 0 and shares(loaded):
        inputs, cache = _split(loaded, batch, start)
    place = inputs["input_ids"].shape[1] - (tail - cut) - len(answer)
    rests: list[tuple | None] = []
    states: list[torch.Tensor] = []

    def keep(module, args, output):
        rests.append(output[1:] if isinstance(output, tuple) else None)
        states[:] = [output[0] if isinstance(output, tuple) else output]
        if len(rests) == layer + 1:
            raise _Read

    with ExitStack() as stack:
        for module in decoder_layers(loaded.model)[: layer + 1]:
            stack.callback(module.register_forward_hook(keep).remove)
        with suppress(_Read):
            given = {} if cache is None else taking(loaded.speaker, fork(cache))
            loaded.forward(**inputs, **given)
    return Reading(loaded, layer, inputs, cache, place, states[0], rests)


def _split(
    loaded: LoadedModel, batch: dict[str, torch.Tensor], start: int
) -> tuple[dict[str, torch.Tensor], Any]:
    """Inputs of the columns from `start` on, and the cache of those before."""
    found: list[torch.Tensor | None] = []
    handle = decoder(loaded.model).register_forward_pre_hook(
        lambda module, args, kwargs: found.append(kwargs.get("position_ids")), with_kwargs=True
    )
    try:
        cache = cache_of(loaded.forward(**cut_row(batch, start), use_cache=True))
    finally:
        handle.remove()
    ids = batch["input_ids"][:, start:]
    if batch.get("position_ids") is not None:
        positions = batch["position_ids"][..., start:]
    else:
        end = torch.full_like(ids[:, :1], start - 1) if found[0] is None else found[0][..., -1:]
        if end.dim() > 2:  # behind a picture every axis goes on from the farthest
            end = end.amax(0, keepdim=True).expand_as(end)
        positions = end + 1 + torch.arange(ids.shape[1], device=ids.device)
    return {"input_ids": ids, "attention_mask": batch["attention_mask"], "position_ids": positions}, cache


@contextmanager
def _put(
    layers: Sequence[torch.nn.Module], states: torch.Tensor, rests: Sequence[tuple | None]
) -> Iterator[None]:
    """The first layers do nothing, and the last of them returns these states."""

    def passing(rest: tuple | None, last: bool):
        def forward(*args, **kwargs):
            hidden = states if last else hidden_of(args, kwargs)
            return hidden if rest is None else (hidden, *rest)

        return forward

    before = [(layer, layer.__dict__.get("forward")) for layer in layers[: len(rests)]]
    try:
        for number, (layer, _) in enumerate(before):
            layer.forward = passing(rests[number], number == len(rests) - 1)
        yield
    finally:
        for layer, own in before:
            if own is None:
                layer.__dict__.pop("forward", None)
            else:
                layer.forward = own
