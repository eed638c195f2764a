"""LoRA on the facts, one after another: low-rank adapters beside the attention's query and value maps.

As EasyEdit's LoRA has it: rank 8, alpha 32, adapters on q and v in every layer, Adam, cross-entropy on the
answer's tokens; down is drawn at random and up begins at zero, so that an adapter begins as nothing. The
defaults, 30 steps at 5e-3, are those of its text settings; its settings for LLaVA-OneVision, Qwen2-VL and
Qwen3-VL are AdaLoRA's with dropout 0.1 and 5 steps at 0.1. What differs: the rank is fixed, AdaLoRA prunes it
along the way, in 5 steps not at all; no dropout, so that a seed tells the whole result; the token that ends
the turn is learned too, since answers here are generated. Where a family fuses q, k and v into one map, the
adapter stands beside the whole of it. Sequential by definition: all facts share the adapters, and each goes
on from those of the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.delta import Change
from okedit_cli.errors import ModelError, UsageError
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.registry import Method
from okedit_cli.methods.tuning import answer_loss, computed_delta, edit_sample, located, timed
from okedit_cli.models.points import Point, points_of
from okedit_cli.models.sites import decoder_layers

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class LoraSettings:
    """EasyEdit's: rank 8, alpha 32, q and v of every layer, 30 steps at 5e-3."""

    rank: int = field(default=8, metadata={"help": "of each adapter"})
    alpha: float = field(default=32.0, metadata={"help": "an adapter is scaled by alpha / rank"})
    steps: int = field(default=30, metadata={"help": "steps a fact"})
    rate: float = field(default=5e-3, metadata={"help": "of Adam"})
    layers: tuple[int, ...] = field(default=(), metadata={"help": "decoder layers [all]"})
    end: bool = field(default=True, metadata={"help": "whether the token that ends the answer is learned"})

    def __post_init__(self) -> None:
        if self.rank < 1 or self.steps < 0:
            raise ValueError(f"rank is {self.rank} and steps {self.steps}, expected at least 1 and 0")


@dataclass
class Adapter:
    """down [r, in] and up [r, out] beside one map, which gives W x + scale up^T down x."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the map's output [..., out] for its input [..., in]."""
        return self.scale * ((x.to(self.down.dtype) @ self.down.T) @ self.up)

    def change(self) -> Change:
        """The change of the map's weight."""
        return Change(self.down.detach().cpu(), (self.scale * self.up.detach()).cpu())


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Train adapters at the chosen layers on one fact after another."""
    settings, samples_of = options.settings, sampler_for(loaded, facts, options)
    points = _points(loaded, options)
    adapters = {str(point): adapter for point, adapter in _fresh(loaded, points, options)}
    parameters = [part for one in adapters.values() for part in (one.down, one.up)]

    def fit(fact: Fact) -> None:
        edit = edit_sample(samples_of(fact))
        optimiser = torch.optim.Adam(parameters, lr=settings.rate)  # anew for each fact, as EasyEdit does
        for _ in range(settings.steps):
            optimiser.zero_grad()
            answer_loss(loaded, [(edit.prompt, edit.picture, edit.target)], settings.end).backward()
            optimiser.step()

    with beside(loaded, adapters), torch.enable_grad():
        seconds = timed(facts, options, fit)
    changes = {name: adapter.change() for name, adapter in adapters.items()}
    return computed_delta(loaded, facts, changes, seconds, options)


@contextmanager
def beside(loaded: LoadedModel, adapters: dict[str, Adapter]) -> Iterator[None]:
    """Context: the adapters stand beside their maps, by the points' names; no weight is touched."""
    handles = []
    try:
        for name, adapter in adapters.items():
            module = located(loaded, Point.parse(name)).module

            def add(module, args, output, adapter=adapter):
                return output + adapter(args[0]).to(output.dtype)

            handles.append(module.register_forward_hook(add))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _points(loaded: LoadedModel, options: Options) -> list[Point]:
    """The query and value maps of the chosen layers, or the fused map of a layer that has no such."""
    count = len(decoder_layers(loaded.model))
    chosen = options.settings.layers or (range(count) if options.layer == "auto" else (int(options.layer),))
    wrong = next((layer for layer in chosen if not 0 <= layer < count), None)
    if wrong is not None:
        raise UsageError(f"{loaded.name} has no layer {wrong}.", hint=f"Take some from 0 to {count - 1}.")
    points = []
    for layer in chosen:
        apart = list(points_of(loaded.model, layer, ("q", "v")))
        points += apart if len(apart) == 2 else points_of(loaded.model, layer, ("qkv",))
    if not points:
        raise ModelError(
            f"{loaded.name} has no query and value maps that okedit knows, so lora cannot edit it.",
            hint="Use ft-llm, or a codebook method.",
        )
    return points


def _fresh(loaded: LoadedModel, points: Sequence[Point], options: Options) -> Iterator[tuple[Point, Adapter]]:
    """Adapters that do nothing yet: down as linear maps begin, up zero."""
    settings, noise = options.settings, torch.Generator().manual_seed(options.seed)
    for point in points:
        weight = located(loaded, point)
        rows, columns = weight.shape
        bound = 1 / math.sqrt(columns)
        down = (torch.rand(settings.rank, columns, generator=noise) * 2 - 1) * bound
        device = weight.tensor.device
        yield (
            point,
            Adapter(
                down.to(device).requires_grad_(),
                torch.zeros(settings.rank, rows, device=device, requires_grad=True),
                settings.alpha / settings.rank,
            ),
        )


METHOD = Method(
    "lora", "delta", compute, "trains low-rank adapters beside attention's query and value maps on each fact",
    "LoRA (Hu et al. 2022, arXiv 2106.09685) as a baseline in EasyEdit", LoraSettings,
    costs="steps times a forward and backward pass", sequential=True,
)  # fmt: skip
