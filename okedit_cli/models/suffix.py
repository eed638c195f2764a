"""Running only what an edit can change: the answer's tokens through the layers from the site upwards.

The prompt is read once and its keys and values are kept; then the last prompt token and the answer are run
once to the site. After that a step of fitting costs a few tokens through the upper layers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import check_length, encode
from okedit_cli.models.features import cut_row, hidden_of
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.prefixes import fork
from okedit_cli.models.reading import Prompts, read, shares
from okedit_cli.models.sites import decoder, decoder_layers, mlp_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


@dataclass
class Passed:
    """What the site's layer does without a change, so that it need not run again for another one."""

    received: torch.Tensor  # [B, T, d] by its feed-forward part
    states: torch.Tensor  # [B, T, d] that come out of the layer
    rest: tuple | None  # what it returns besides; None: states alone


@dataclass
class Suffix:
    """Rows ready to be fitted: their cached prompts, and the answer part as it arrives at the site."""

    inputs: dict[str, torch.Tensor]  # of the answer part: input_ids [B, T], attention_mask [B, L + T], ...
    states: torch.Tensor  # [B, T, d] at the site layer's input
    rests: list[tuple | None]  # what each layer below the site returns besides its states; None: states alone
    prompt: Any  # the prompt's cache; None where the prompt is one token
    targets: torch.Tensor  # [B, T] next tokens, -100 where there is none
    logits: torch.Tensor  # [B, T, V] of the unedited model
    passed: Passed | None = None  # None where a change at the site does not come out of its layer as it is

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
        passed = self.passed and replace(
            self.passed, received=self.passed.received[chosen], states=self.passed.states[chosen]
        )
        return Suffix(
            inputs, self.states[chosen], self.rests, prompt, self.targets[chosen], self.logits[chosen], passed
        )


@torch.no_grad()
def read_prompts(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    answers: Sequence[Sequence[int]],
    layer: int,
) -> Suffix:
    """Read prompts and answers (ids) once, up to `layer`. The last prompt token begins the answer part."""
    prompts = read(loaded, questions) if shares(loaded) else _read(loaded, encode(loaded, questions))
    inputs, targets = prompts.inputs(answers)
    check_length(loaded, int(inputs["attention_mask"].sum(1).max()), "prompt with its answer")
    layers, states, rests = decoder_layers(loaded.model), [], []
    with ExitStack() as stack:
        for module in layers[:layer]:
            handle = module.register_forward_hook(
                lambda module, args, output: rests.append(output[1:] if isinstance(output, tuple) else None)
            )
            stack.callback(handle.remove)
        handle = layers[layer].register_forward_pre_hook(
            lambda module, args, kwargs: states.append(hidden_of(args, kwargs)), with_kwargs=True
        )
        stack.callback(handle.remove)
        cache = None if prompts.cache is None else fork(prompts.cache)
        logits = loaded.model(**inputs, **taking(loaded.model, cache)).logits
    suffix = Suffix(inputs, states[0], rests, prompts.cache, targets, logits)
    suffix.passed = _passed(loaded, suffix, layer)
    return suffix


@torch.no_grad()
def _passed(loaded: LoadedModel, suffix: Suffix, layer: int) -> Passed | None:
    """The site's layer without a change; None unless what is added at the site is added to its output."""
    received, came, site = [], [], decoder_layers(loaded.model)[layer]
    forward = site.forward

    def ones(x: torch.Tensor) -> torch.Tensor:
        received.append(x)
        return torch.ones_like(x)

    def keep(*args, **kwargs):
        came.append(forward(*args, **kwargs))  # before hooks, which will act on what stands in for it
        return came[-1]

    with _instead(site, keep):
        for change in (torch.zeros_like, ones):
            run_suffix(loaded, suffix, layer, change, suffix.targets.new_zeros(1))
    without, with_ones = (one[0] if isinstance(one, tuple) else one for one in came)
    if not torch.allclose(with_ones.float(), without.float() + 1, atol=0.05):
        return None
    return Passed(received[0], without, came[0][1:] if isinstance(came[0], tuple) else None)


def _read(loaded: LoadedModel, batch: dict[str, torch.Tensor]) -> Prompts:
    """Left-padded prompts but for their last token, each read whole."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    length = ids.shape[1]
    given, cache = batch.get("position_ids"), None
    following = torch.zeros_like(ids) if given is None else given
    if length > 1:
        first = cut_row(batch, length - 1)
        found: list[torch.Tensor | None] = []
        handle = decoder(loaded.model).register_forward_pre_hook(
            lambda module, args, kwargs: found.append(kwargs.get("position_ids")), with_kwargs=True
        )
        try:
            cache = cache_of(loaded.model(**first, use_cache=True))
        finally:
            handle.remove()
        if given is not None:
            following = given[:, -1:]
        elif found[0] is not None:
            following = found[0][..., -1:] + 1
        else:
            following = torch.full_like(ids[:, :1], length - 1)
    # Told, not left to the model: Qwen2-VL would count on from the batch that it read last.
    told = "position_ids" in inspect.signature(loaded.model.forward).parameters
    return Prompts(cache, mask[:, :-1], ids[:, -1:], following if told else None, [], [])


@contextmanager
def _skipping(layers: Sequence[torch.nn.Module], suffix: Suffix) -> Iterator[None]:
    """The layers below the site do nothing; the site's receives the suffix's states."""
    count = len(suffix.rests)

    def put(module, args, kwargs):
        if args:
            return (suffix.states, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": suffix.states}

    def passing(rest: tuple | None):
        def forward(*args, **kwargs):
            hidden = hidden_of(args, kwargs)
            return hidden if rest is None else (hidden, *rest)

        return forward

    handle = layers[count].register_forward_pre_hook(put, with_kwargs=True)
    try:
        with ExitStack() as stack:
            for layer, rest in zip(layers, suffix.rests, strict=False):
                stack.enter_context(_instead(layer, passing(rest)))
            yield
    finally:
        handle.remove()


@contextmanager
def _speaking(head: torch.nn.Module, vocabulary: torch.Tensor) -> Iterator[None]:
    """The output layer computes these tokens only: of a small model it is the larger part of the work."""
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
    layer: int,
    change: Callable[[torch.Tensor], torch.Tensor],
    vocabulary: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits [B, T, V] of the answer part with `change(x) -> [B, T, d]` added to the site's output; of the
    tokens
    in `vocabulary` alone where it is given.
    """
    layers, passed = decoder_layers(loaded.model), suffix.passed

    def came(*args, **kwargs):
        changed = passed.states + change(passed.received).to(passed.states.dtype)
        return changed if passed.rest is None else (changed, *passed.rest)

    def add(module, args, kwargs, output):
        whole = output[0] if isinstance(output, tuple) else output
        whole = whole + change(hidden_of(args, kwargs)).to(whole.dtype)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    handle = mlp_of(layers[layer]).register_forward_hook(add, with_kwargs=True)
    try:
        with ExitStack() as stack:
            stack.enter_context(_skipping(layers, suffix))
            if passed is not None:
                stack.enter_context(_instead(layers[layer], came))
            if vocabulary is not None:
                stack.enter_context(_speaking(loaded.model.get_output_embeddings(), vocabulary))
            return loaded.model(**suffix.inputs, **taking(loaded.model, suffix.to_cache())).logits
    finally:
        handle.remove()
