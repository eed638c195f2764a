"""WISE (Wang et al., NeurIPS 2024): a side memory beside one feed-forward output map, queries routed by
activation.

As the paper and EasyEdit's code (and its form for vision-language models) have it: a copy of the map is
trained by plain gradient steps on the answer's tokens and a margin loss of activations |x (W' - W)|: below
alpha for an irrelevant prompt, above beta for the edit's, the two gamma apart. A random fifth of the copy's
weights is trained, none farther than 1 from where it was. A query is routed to the copy where its activation
passes a share of the smallest activation of the edits. Sequential: a fact goes on from the copy that the
last one left.

What differs, and why:
- One side memory that all edits of a bundle share, with one mask: no knowledge shards, so that nothing is
  merged (TIES) or retrieved among memories. EasyEdit begins another memory after 500 edits.
- The activation is the prompt's last token's, not the mean over a sequence: it is decided when the prompt
  has been read, holds for the whole answer, and is the same however prompts are cached. The copy acts from
  that token on; what stands before it was read with the model's own map. EasyEdit puts its activation
  function around both outputs before it compares them; the paper does not, nor does this.
- The smallest activation is that of the finished copy on all edits, not of each when it had been trained: no
  edit is routed past the memory that it was put into.
- An irrelevant prompt is one of the fact's negatives that ask about something else, another one each step;
  the published code takes one question of another data set for each edit.
- The token that ends the turn is learned too, since answers here are generated; set end=false for the
  paper's.
- Weight decay (1e-5) is left out, since it would move weights that the mask holds; nothing stops early.
- 70 steps, as in the paper and EasyEdit's settings for text; those for vision-language models have 5 or 10,
  which leave 0.2 to 4.2 nats of an answer on okedit-mini.
- The rate grows in decoders narrower than those it was published for, and margins are in units of a fifth of
  the length of the map's own output at the edit. A margin's gradient is as long whatever that length is, so
  that in okedit-mini, whose outputs are 40 to 100 long, the published figures as they stand leave 0.4 to 2.8
  nats of three answers in a row, mostly to margins that are stepped over, and irrelevant prompts as active
  as edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.edits.delta import Gate
from okedit_cli.methods.at_site import AtSite, at_least, at_site, layer_at
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.registry import Method
from okedit_cli.methods.tuning import computed_delta, edit_sample, located, scaled_rate, timed
from okedit_cli.methods.whole_prompt import prompt_feature
from okedit_cli.models.points import LAST_TOKEN, Point

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

DEPTH = 0.82  # of the decoder: layer 23 of 28 in EasyEdit's Qwen2-VL-7B, 30 of 36 in Qwen3-VL-4B


@dataclass(frozen=True)
class WiseSettings:
    """The paper's and EasyEdit's: 70 steps of SGD at 1.0, margins 5, 20, 10; 0.4 of its Qwen2-VL-7B."""

    steps: int = field(default=70, metadata={"help": "steps a fact"})
    rate: float = field(
        default=1.0, metadata={"help": "of plain gradient descent, in a decoder of width 4096"}
    )
    alpha: float = field(default=5.0, metadata={"help": "most activation of irrelevant prompts, in units"})
    beta: float = field(default=20.0, metadata={"help": "least activation of edits"})
    gamma: float = field(default=10.0, metadata={"help": "by which the two lie apart"})
    unit: float = field(
        default=0.2, metadata={"help": "of margins: a share of the output's length; 0: 1, as published"}
    )
    ratio: float = field(default=0.4, metadata={"help": "share of the edits' smallest activation that fires"})
    mask: float = field(default=0.2, metadata={"help": "share of the weights that is trained"})
    bound: float = field(default=1.0, metadata={"help": "most that a weight moves"})
    end: bool = field(default=True, metadata={"help": "whether the token that ends the answer is learned"})


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Edit after edit: train the same copy, whose change and the edits' last prompt tokens are kept."""
    settings, layer = options.settings, layer_at(loaded, options.layer, DEPTH)
    at_least(settings, steps=0, rate=0, alpha=0, beta=0, gamma=0, unit=0, ratio=1e-6, mask=0, bound=0)
    point = Point(layer, "mlp_out")
    acting = replace(settings, rate=scaled_rate(loaded, settings.rate))
    samples_of = sampler_for(loaded, facts, options)
    noise = torch.Generator().manual_seed(options.seed)
    shape = located(loaded, point).shape
    mask = (torch.rand(shape, generator=noise) < settings.mask).float().to(loaded.device)
    change, keys = torch.zeros_like(mask), []

    def fit(fact: Fact) -> None:
        samples = samples_of(fact)
        edit = at_site(loaded, edit_sample(samples), layer)
        others = irrelevant(loaded, samples, layer).to(loaded.device)
        change.copy_(trained(edit, others, change, mask, acting, noise))
        keys.append(edit.received[0].cpu())

    seconds = timed(facts, options, fit)
    found = computed_delta(
        loaded, facts, {str(point): change}, seconds, options, {"scaled_rate": acting.rate}
    )
    stacked = torch.stack(keys) if keys else torch.zeros(0, shape[1])
    found.edits = replace(found.edits, gate=Gate(stacked, settings.ratio))
    return found


def irrelevant(loaded: LoadedModel, samples: Sequence[Sample], layer: int) -> torch.Tensor:
    """What the map receives [n, in] at the last token of the negatives that ask about something else."""
    chosen = [s for s in samples if s.role == "negative" and s.cell.endswith("/other")]
    found = [prompt_feature(loaded, s.prompt, s.picture, layer, LAST_TOKEN) for s in chosen]
    return torch.stack(found) if found else torch.zeros(0, 0)


def trained(
    edit: AtSite,
    others: torch.Tensor,
    change: torch.Tensor,
    mask: torch.Tensor,
    settings: WiseSettings,
    noise: torch.Generator,
) -> torch.Tensor:
    """The change [out, in] after an edit's steps; `others` [n, in] are irrelevant prompts' last tokens."""
    change = change.clone().requires_grad_()
    unit = settings.unit * float(torch.linalg.vector_norm(edit.given[0])) or 1.0
    for _ in range(settings.steps):
        loss = edit.loss(edit.received @ change.T, settings.end)
        other = others[torch.randint(len(others), (1,), generator=noise)] if len(others) else None
        loss = loss + margin_loss(change, edit.received[0], other, settings, unit)
        [gradient] = torch.autograd.grad(loss, change)
        with torch.no_grad():
            change -= settings.rate * gradient * mask
            change.clamp_(-settings.bound, settings.bound)
    return change.detach()


def margin_loss(
    change: torch.Tensor,
    edit: torch.Tensor,
    other: torch.Tensor | None,
    settings: WiseSettings,
    unit: float = 1.0,
) -> torch.Tensor:
    """WISE's loss of activations, in units: of an edit's last token [in] and an irrelevant prompt's [1, in]
    or none.
    """
    inside = torch.linalg.vector_norm(edit @ change.T) / unit
    loss = F.relu(settings.beta - inside)
    if other is not None:
        outside = torch.linalg.vector_norm(other @ change.T) / unit
        loss = loss + F.relu(outside - settings.alpha) + F.relu(settings.gamma - (inside - outside))
    return loss


METHOD = Method(
    "wise", "delta", compute, "a trained copy of one feed-forward map, for queries with enough activation",
    "WISE, NeurIPS 2024 (arXiv 2405.14768)", WiseSettings,
    costs="steps times a pass of the answer through the upper layers; one matrix, however many facts",
    sequential=True,
)  # fmt: skip
