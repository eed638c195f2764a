"""After LDKE (Gu et al. 2026, arXiv 2605.29826): an edit at the layer that was located for its fact, behind a
classifier of text and picture features.

The paper has no public code. Kept: the layers that hold a fact are located by gradient attribution, only
these are changed, and a disentanglement classifier sends a query to the changed or to the original weights,
by its text and its picture together.

What is ours, where the paper's own form is not known:
- Attribution of a layer: |gradient x activation| of its feed-forward output at the answer's places, for the
  loss of the new answer, as a share of all layers'. The fact is located where this exceeds most the shares
  that the layer has where unrelated prompts about the same picture ask for the same answer, in their standard
  deviations. (By the quotient the first layer won for two of six facts of okedit-pictures' fit split, where a
  change of its output did not take.)
- One layer an edit. Its feed-forward output gets a low-rank change, fitted to the edit and its positives
  (values.py), which acts from the prompt's last token on.
- The classifier is that of MSCKE, the paper's documented relative: text and picture features side by side,
  squared distance d to the edit, exp(-d) > 0.5. Its features are okedit's text vectors and the picture
  vectors of the model's image encoder, each in units of its calibrated radius, and none is trained. d is
  scaled for each fact, so that its border has the fewest errors on the fact's own positives and negatives.
  MSCKE's attention over the picture features is left out: of one pooled vector it is that vector.
- A fact in words alone is judged by its text features alone. A query without a picture is outside every fact
  about one.
- okedit's pair classifier and its verifier have no say.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch

from okedit_cli.encoders.text import text_vectors
from okedit_cli.methods.balancedit import KEY_LAYER, canary, sampler_for, value_layer
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.keys import Reach, pictures_of, question_reach, unique
from okedit_cli.methods.registry import Method
from okedit_cli.methods.spaces import Spaces, spaces_of
from okedit_cli.methods.stacking import stack
from okedit_cli.methods.tuning import answer_loss, edit_sample
from okedit_cli.methods.values import Values, fit_values, joined
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.features import forget_looks, look_together
from okedit_cli.models.hooks import of_this_thread
from okedit_cli.models.sites import decoder_layers, mlp_of
from okedit_cli.samples.sampler import Sample, checked
from okedit_cli.samples.wording import normal
from okedit_cli.scope.retriever import FUSED
from okedit_cli.scope.texts import windows

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

UNRELATED = (  # what a layer gives to any answer shows behind these
    "What is the capital of Peru?",
    "How many legs does a spider have?",
    "Who wrote this letter?",
    "What time is it?",
    "Is the shop open on Sundays?",
    "How much does a ticket cost?",
)
LEAST = 1e-4  # of a share: what varies less does not vary


@dataclass(frozen=True)
class LdkeSettings:
    """The paper's own are not published."""

    rank: int = field(default=4, metadata={"help": "rank of the change of the located layer's output"})

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}, expected a whole number from 1")


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Locate, set the border, fit; each fact by itself, and every one is kept."""
    spaces = spaces_of(loaded, options)
    samples_of = sampler_for(loaded, facts, options, spaces)
    samples, scopes, seconds = {}, {}, {}
    reaches: list[tuple[Reach, Reach | None]] = []
    layers: list[int] = []
    parts: list[Values] = []
    for number, fact in enumerate(facts):
        options.tell("fitting facts", number, len(facts))
        rows, began = samples_of(fact), time.perf_counter()
        layers.append(
            located_layer(loaded, rows) if options.layer == "auto" else value_layer(loaded, options.layer)
        )
        pair, scopes[fact.id] = reaches_of(loaded, spaces, fact, rows)
        reaches.append(pair)
        taught = [s for s in rows if s.role in ("edit", "positive")]
        values, _ = fit_values(loaded, [taught], layers[-1], seed=options.seed, rank=options.settings.rank)
        parts.append(values)
        seconds[fact.id] = time.perf_counter() - began
        forget_looks(loaded, [s.picture for s in rows if s.origin == "transform"])
        samples[fact.id] = checked(rows)
    options.tell("fitting facts", len(facts), len(facts))
    values = joined(parts) if parts else fit_values(loaded, [], 0, rank=options.settings.rank)[0]
    book = stack(spaces, reaches, values)
    book.value_layer = torch.tensor(layers, dtype=torch.int64)
    site = {
        "key_layer": KEY_LAYER,
        "question_point": "question encoder",
        "text_encoder": spaces.encoder,
        "picture_point": spaces.point if spaces.picture is not None else "none",
        "point": "layer output",
        "classifier": FUSED,
    }
    settings = asdict(options.settings) | {"seed": options.seed}
    return Computed(
        book, site, settings, list(facts), samples, scopes, seconds, *canary(spaces, loaded), verbatim=False
    )


def located_layer(loaded: LoadedModel, samples: Sequence[Sample]) -> int:
    """The layer whose share in the answer lies most beyond those that it has behind unrelated prompts."""
    edit = edit_sample(samples)
    prompts = [edit.prompt, *(text for text in UNRELATED if normal(text) != normal(edit.prompt))]
    shares = attribution(loaded, [(prompt, edit.picture, edit.target) for prompt in prompts])
    own, others = shares[0], shares[1:]
    return int(((own - others.mean(0)) / others.std(0).clamp_min(LEAST)).argmax())


def attribution(loaded: LoadedModel, rows: Sequence[tuple[str, object, str]]) -> torch.Tensor:
    """Each layer's share [rows, layers] in the loss of (prompt, picture, answer) rows of one answer:
    |gradient x activation| of its feed-forward output, summed over the places that say the answer.
    """
    given: list[torch.Tensor] = []
    added: list[torch.Tensor] = []

    def hook(module, args, output):
        whole = output[0] if isinstance(output, tuple) else output
        given.append(whole.detach())
        added.append(torch.zeros_like(given[-1], requires_grad=True))
        whole = whole + added[-1]
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    with torch.enable_grad(), ExitStack() as hooks:
        for layer in decoder_layers(loaded.model):
            hooks.callback(mlp_of(layer).register_forward_hook(of_this_thread(hook)).remove)
        gradients = torch.autograd.grad(answer_loss(loaded, rows), added)
    places = len(answer_ids(loaded, rows[0][2]))
    found = torch.stack(
        [
            (gradient * output)[:, -places - 1 : -1].float().abs().sum((1, 2))
            for gradient, output in zip(gradients, given, strict=True)
        ],
        dim=1,
    ).cpu()
    return found / found.sum(1, keepdim=True).clamp_min(1e-30)


def reaches_of(
    loaded: LoadedModel, spaces: Spaces, fact: Fact, samples: Sequence[Sample]
) -> tuple[tuple[Reach, Reach | None], Scope]:
    """Keys in both channels, their radii the calibrated ones, both scaled by the border of the squared
    distances of both together.
    """
    asked = question_reach(fact, spaces.encoder, spaces.text_radius)
    shown = None
    if fact.image is not None:
        look_together(loaded, unique([s.picture for s in samples]))
        keys = spaces.keys(loaded, pictures_of(samples, "user"))
        shown = Reach(keys, 0.0, math.inf, spaces.radius(keys))
    squared: dict[str, list[float]] = {"edit": [], "positive": [], "negative": [], "holdout": []}
    for sample, away in zip(samples, _squared(loaded, spaces, samples, asked, shown), strict=True):
        squared[sample.role].append(away)
    border = border_of([*squared["edit"], *squared["positive"]], squared["negative"])
    scale = math.sqrt(border)
    question = Reach(asked.keys, 0.0, math.inf, asked.radius * scale)
    picture = shown and Reach(shown.keys, 0.0, math.inf, shown.radius * scale)
    near = min(squared["negative"], default=math.inf)
    scope = Scope("text and picture" if shown else "text", math.sqrt(max(squared["positive"], default=0.0)),
                  math.sqrt(near), scale)  # fmt: skip
    return (question, picture), scope


def _squared(
    loaded: LoadedModel, spaces: Spaces, samples: Sequence[Sample], asked: Reach, shown: Reach | None
) -> list[float]:
    """Samples' squared distances to an edit, each channel's in its calibrated radius."""
    out = []
    for sample in samples:
        words = text_vectors(windows(sample.prompt), spaces.encoder)
        away = (float(torch.cdist(words, asked.keys).min()) / asked.radius) ** 2
        if shown is not None and sample.picture is None:
            away = math.inf
        elif shown is not None:
            nearest = torch.cdist(spaces.keys(loaded, [sample.picture]), shown.keys).min()
            away += (float(nearest) / shown.radius) ** 2
        out.append(away)
    return out


def border_of(inside: Sequence[float], outside: Sequence[float]) -> float:
    """The squared distance that parts positives from negatives with the fewest errors, as shares of either;
    the smallest such one, in the middle between two distances. What lies beyond a calibrated radius, 1, is a
    negative always.
    """
    outside = [*outside, 1.0]
    steps = sorted({0.0, *(one for one in (*inside, *outside) if math.isfinite(one))})
    middles = [(low + high) / 2 for low, high in zip(steps, steps[1:], strict=False)]

    def errors(border: float) -> float:
        missed = sum(one > border for one in inside) / max(1, len(inside))
        return missed + sum(one <= border for one in outside) / len(outside)

    return min(middles, key=lambda border: (round(errors(border), 9), border))


METHOD = Method(
    "ldke", "codebook", compute, "a change at each fact's own layer, behind a classifier of text and picture",
    "after LDKE (arXiv 2605.29826), which has no public code; its classifier after MSCKE", LdkeSettings,
    costs="a backward pass for the layer, then steps through the layers above it", spaced=True, near=True,
)  # fmt: skip
