"""GRACE (Hartvigsen et al., NeurIPS 2023): a codebook of hidden states whose values replace a layer's
output.

As the paper and EasyEdit's code (and its form for vision-language models) have it: a key is what one layer's
feed-forward output map receives at the prompt's last token; where a query's lies within the deferral radius
of the nearest key, that map's output at this token is the key's value (`replace_last`). A value begins at
random in [0, 1) and is trained with Adam on the answer's tokens alone. A new edit farther from the nearest
key than its radius and a new one's together gets a key and the radius eps; nearer, with the same answer, it
grows the nearest key's radius until it is inside (`coverage`) and goes on training that key's value; with
another answer it gets a key, and both radii become half the distance between the two.

What differs, and why:
- Answers are the same where their words are, not where the means of their token ids are.
- The token that ends the turn is learned too, since answers here are generated; set end=false for the
  paper's.
- A codebook lists a row for each fact, so facts that share a key hold a copy of it each, and of its value.
- Of several keys whose radii hold a query the one nearest in radii wins, as in every bundle; GRACE takes the
  nearest key. After a split the two radii touch, so that both rules say the same there.
- While it is decoded an answer is not looked up again: in GRACE each token is a query of its own.
- Rate and radius are the published ones for every model. In okedit-mini's layer 19, where `auto` puts edits,
  a key is 12 to 16 long and the map's output 2.3 to 3 a number, which Adam reaches in a few steps of 1;
  other views of a picture lie 0.6 to 2.2 away, near pictures 1 to 5, other wordings 3 to 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.codebook import Codebook
from okedit_cli.methods.at_site import AtSite, at_least, at_site, layer_at
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.registry import Method
from okedit_cli.methods.tuning import edit_sample, located, timed
from okedit_cli.methods.whole_prompt import prompt_feature
from okedit_cli.models.points import LAST_TOKEN, Point
from okedit_cli.models.sites import hidden_size

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

DEPTH = 0.64  # of the decoder: layer 18 of 28 in EasyEdit's Qwen2-VL-7B, 23 of 36 in Qwen3-VL-4B
APART = 1e-5  # by which an old radius stays short of half the distance, as in the published code


@dataclass(frozen=True)
class GraceSettings:
    """EasyEdit's for LLaMA-2-7B: 100 steps of Adam at 1.0, eps 1.0; MMGRACE has 200 steps."""

    steps: int = field(default=100, metadata={"help": "steps a fact"})
    rate: float = field(default=1.0, metadata={"help": "of Adam, in units of the layer's output"})
    eps: float = field(default=1.0, metadata={"help": "radius of a new key, in units of the layer's input"})
    end: bool = field(default=True, metadata={"help": "whether the token that ends the answer is learned"})


@dataclass
class Entry:
    """A key [in] with its radius, its value [d], and the answer that it was made for."""

    key: torch.Tensor
    radius: float
    value: torch.Tensor
    answer: str


def placed(entries: list[Entry], new: Entry) -> Entry:
    """The entry that is to hold a new edit, which becomes one of the entries where it needs a key of its own.
    The nearest entry's radius is split or grows as GRACE's algorithm 1 has it.
    """
    if entries:
        away = [float(torch.linalg.vector_norm(one.key - new.key)) for one in entries]
        distance = min(away)
        nearest = entries[away.index(distance)]
        if distance <= nearest.radius + new.radius:
            if nearest.answer == new.answer:
                nearest.radius = max(nearest.radius, distance)
                return nearest
            nearest.radius = max(0.0, distance / 2 - APART)
            new.radius = distance / 2
    entries.append(new)
    return new


def label(answer: str) -> str:
    """An answer without case, spaces and closing marks: two that have it in common are the same."""
    return " ".join(answer.casefold().split()).strip(" .!?")


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Edit after edit: find or make its entry, then train that entry's value."""
    settings, layer = options.settings, layer_at(loaded, options.layer, DEPTH)
    at_least(settings, steps=0, rate=0, eps=0)
    keys = located(loaded, Point(layer, "mlp_out")).shape[1]
    samples_of = sampler_for(loaded, facts, options)
    samples = {fact.id: samples_of(fact) for fact in facts}
    noise = torch.Generator().manual_seed(options.seed)
    entries: list[Entry] = []
    holds: dict[str, Entry] = {}

    def fit(fact: Fact) -> None:
        edit = edit_sample(samples[fact.id])
        key = prompt_feature(loaded, edit.prompt, edit.picture, layer, LAST_TOKEN)
        first = torch.rand(hidden_size(loaded.model), generator=noise)
        entry = placed(entries, Entry(key, settings.eps, first, label(fact.answer)))
        entry.value = trained(at_site(loaded, edit, layer), entry.value, settings)
        holds[fact.id] = entry

    seconds = timed(facts, options, fit)
    site = {
        "key_layer": layer,
        "question_point": LAST_TOKEN,
        "picture_point": "none",
        "value_layer": layer,
        "point": "feed-forward output",
        "change": "replace",
    }
    told = asdict(settings) | {"seed": options.seed, "keys": len(entries)}
    scopes = {name: Scope("last prompt token", math.nan, math.nan, one.radius) for name, one in holds.items()}
    book = stack([holds[fact.id] for fact in facts], keys, hidden_size(loaded.model))
    return Computed(book, site, told, list(facts), samples, scopes, seconds, verbatim=False)


def trained(edit: AtSite, value: torch.Tensor, settings: GraceSettings) -> torch.Tensor:
    """The value [d] after its steps: it stands for the layer's output at the prompt's last token."""
    given = edit.given
    value = value.to(given.device).clone().requires_grad_()
    optimiser = torch.optim.Adam([value], lr=settings.rate)
    for _ in range(settings.steps):
        optimiser.zero_grad()
        change = torch.cat([(value - given[0])[None], torch.zeros_like(given[1:])])
        edit.loss(change, settings.end).backward()
        optimiser.step()
    return value.detach().cpu()


def stack(entries: Sequence[Entry], keys: int, width: int) -> Codebook:
    """A codebook with a row for each fact's entry, keys [., in] in the question channel; the picture channel
    is open.
    """
    count, none = len(entries), torch.zeros(0)
    return Codebook(
        picture_mean=none,
        picture_projection=torch.zeros(0, 1),
        question_mean=none,
        question_projection=torch.zeros(0, keys),
        picture_keys=torch.zeros(0, 1),
        picture_owner=torch.zeros(0, dtype=torch.int64),
        question_keys=torch.stack([one.key for one in entries]) if entries else torch.zeros(0, keys),
        question_owner=torch.arange(count),
        picture_radius=torch.full((count,), float("inf")),
        question_radius=torch.tensor([one.radius for one in entries], dtype=torch.float32),
        value_down=torch.zeros(count, 0, width),
        value_up=torch.zeros(count, 0, width),
        value_bias=torch.stack([one.value for one in entries]) if entries else torch.zeros(0, width),
    )


METHOD = Method(
    "grace", "codebook", compute, "keys of the last prompt token, values that replace a layer's output there",
    "GRACE, NeurIPS 2023 (arXiv 2211.11031), and MMGRACE of EasyEdit", GraceSettings,
    costs="steps times a pass of the answer through the upper layers", sequential=True,
)  # fmt: skip
