"""Fine-tuning on the facts, one after another: the last decoder layer's feed-forward part, or the connector.

As VLKEB and EasyEdit have it: AdamW with its default weight decay, batch 1, a fixed number of steps,
cross-entropy on the answer's tokens alone. What differs: the rate grows in decoders narrower than those it
was published for, and the token that ends the turn is learned too, since answers here are generated and not
teacher-forced. Sequential by definition: a fact goes on from the weights of the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from okedit_cli.errors import ModelError
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.registry import Method
from okedit_cli.methods.tuning import answer_loss, computed_delta, edit_sample, scaled_rate, timed, trainable
from okedit_cli.models.points import Point, connector_maps, points_of
from okedit_cli.models.sites import decoder_layers

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel


NO_PICTURE = "the fact has no picture, and what is tuned lies behind the vision tower"


@dataclass(frozen=True)
class FtSettings:
    """LLaVA-1.5's in VLKEB: 10 steps of AdamW at 1e-4."""

    steps: int = field(default=10, metadata={"help": "steps a fact"})
    rate: float = field(default=1e-4, metadata={"help": "of AdamW, in a decoder of width 4096"})
    layers: tuple[int, ...] = field(default=(), metadata={"help": "decoder layers [the last one]"})
    end: bool = field(default=True, metadata={"help": "whether the token that ends the answer is learned"})


@dataclass(frozen=True)
class VisSettings:
    """LLaVA-1.5's in VLKEB: its projector, 10 steps of AdamW at 1e-4."""

    steps: int = field(default=10, metadata={"help": "steps a fact"})
    rate: float = field(default=1e-4, metadata={"help": "of AdamW, in a decoder of width 4096"})
    end: bool = field(default=True, metadata={"help": "whether the token that ends the answer is learned"})


def compute_llm(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Tune the feed-forward output and input of the chosen layers."""
    last = len(decoder_layers(loaded.model)) - 1
    layers = options.settings.layers or ((last,) if options.layer == "auto" else (int(options.layer),))
    points = [p for layer in layers for p in points_of(loaded.model, layer, ("mlp_out", "mlp_in"))]
    if not points:
        raise ModelError(f"{loaded.name} has no feed-forward weights in layers {layers}.")
    return _tuned(loaded, facts, options, points)


def compute_vis(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Tune the connector between the vision tower and the decoder."""
    points = [Point(None, str(number)) for number, _ in enumerate(connector_maps(loaded.model))]
    if not points:
        raise ModelError(
            f"{loaded.name} has no connector that okedit knows, so ft-vis cannot edit it.",
            hint="Use ft-llm, or a codebook method.",
        )
    blind = {fact.id: NO_PICTURE for fact in facts if fact.image is None}
    return _tuned(loaded, facts, options, points, blind)


def _tuned(
    loaded: LoadedModel,
    facts: Sequence[Fact],
    options: Options,
    points: Sequence[Point],
    left_out: dict[str, str] | None = None,
) -> Computed:
    settings, samples_of = options.settings, sampler_for(loaded, facts, options)
    rate = scaled_rate(loaded, settings.rate)
    with trainable(loaded, points) as weights:
        before = {name: weight.detach().clone() for name, weight in weights.items()}

        def fit(fact: Fact) -> None:
            edit = edit_sample(samples_of(fact))
            optimiser = torch.optim.AdamW(weights.values(), lr=rate)  # anew for each fact, as VLKEB does
            for _ in range(settings.steps):
                optimiser.zero_grad()
                answer_loss(loaded, [(edit.prompt, edit.picture, edit.target)], settings.end).backward()
                optimiser.step()

        tuned = [fact for fact in facts if fact.id not in (left_out or {})]
        seconds = timed(tuned, options, fit)
        changes = {name: (weight.detach() - before[name]).float() for name, weight in weights.items()}
    return computed_delta(
        loaded, facts, turned(loaded, changes), seconds, options, {"scaled_rate": rate}, left_out
    )


def turned(loaded: LoadedModel, changes: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Changes of parameters as matrices [out, in]."""
    from okedit_cli.methods.tuning import located

    return {
        name: change.T.contiguous() if located(loaded, Point.parse(name)).turned else change
        for name, change in changes.items()
    }


LLM = Method(
    "ft-llm", "delta", compute_llm, "fine-tunes the last decoder layer's feed-forward part on each fact",
    "the FT (LLM) baseline of VLKEB and EasyEdit", FtSettings,
    costs="steps times a forward and backward pass", sequential=True,
)  # fmt: skip
VIS = Method(
    "ft-vis", "delta", compute_vis, "fine-tunes the connector behind the vision tower on each fact",
    "the FT (Vis) baseline of VLKEB and EasyEdit", VisSettings,
    needs="facts with a picture, a model with a connector",
    costs="steps times a forward and backward pass", sequential=True,
)  # fmt: skip
