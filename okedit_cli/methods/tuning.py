"""What methods that change weights have in common: named weights that can be trained, the loss on an answer's
tokens, and the computed delta.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from okedit_cli.edits.delta import Change, Delta, content
from okedit_cli.errors import ModelError
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.points import Point, Weight, weight_at
from okedit_cli.models.sites import hidden_size

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

PUBLISHED = 4096  # width of the decoders that published rates are for


def scaled_rate(loaded: LoadedModel, rate: float) -> float:
    """A published rate for a decoder of this width: an output sums over as many inputs as it is wide."""
    return rate * max(1.0, PUBLISHED / hidden_size(loaded.model))


@contextmanager
def trainable(loaded: LoadedModel, points: Sequence[Point]) -> Iterator[dict[str, torch.nn.Parameter]]:
    """Context: copies of the weights at these points stand in their places, in fp32, and can be trained.

    Afterwards the very same weights are back. ModelError: a point that the model has not.
    """
    weights = {str(point): located(loaded, point) for point in points}
    originals = {name: weight.module.weight for name, weight in weights.items()}
    copies = {}
    for name, weight in weights.items():
        copies[name] = torch.nn.Parameter(originals[name].detach().clone())
        weight.module.weight = copies[name]
    try:
        with torch.enable_grad():
            yield copies
    finally:
        for name, weight in weights.items():
            weight.module.weight = originals[name]


def located(loaded: LoadedModel, point: Point) -> Weight:
    """The weight at a point; ModelError where there is none, or it is quantised or off-loaded."""
    found = weight_at(loaded.model, point)
    if found is None or found.kept:
        why = f"has no weight at {point}" if found is None else f"keeps its weight at {point} {found.kept}"
        raise ModelError(
            f"{loaded.name} {why}.",
            hint="Choose others with --set, load the model in bf16 or fp32 on a device, or use balancedit.",
        )
    return found


def answer_loss(loaded: LoadedModel, rows: Sequence[tuple[str, Any, str]], end: bool = True) -> torch.Tensor:
    """Mean cross-entropy of (prompt, picture, answer) rows over the answers' tokens; `end`: with the one that
    ends the turn.
    """
    answers = [answer_ids(loaded, answer) for _, _, answer in rows]
    inputs = encode(loaded, [row[:2] for row in rows], answers=answers)
    logits = loaded.forward(**inputs).logits.float()
    losses = []
    for row, ids in enumerate(answers):
        wanted = torch.tensor(ids, device=logits.device)
        said = logits[row, -len(ids) - 1 : -1]  # padded on the left: the answer stands at the end
        kept = len(ids) if end else max(1, len(ids) - 1)
        losses.append(F.cross_entropy(said[:kept], wanted[:kept]))
    return torch.stack(losses).mean()


def edit_sample(samples: Sequence[Sample]) -> Sample:
    """The sample that is the fact itself."""
    return next(sample for sample in samples if sample.role == "edit")


def computed_delta(
    loaded: LoadedModel,
    facts: Sequence[Fact],
    changes: dict[str, torch.Tensor | Change],
    seconds: dict[str, float],
    options: Options,
    told: dict[str, Any] | None = None,
    left_out: dict[str, str] | None = None,
) -> Computed:
    """What a method gives whose edits are changes of weights by the points' names: [out, in], or in low rank
    already. `left_out`: why, of facts that it cannot edit, by their ids.
    """
    left_out = left_out or {}
    kept = [fact for fact in facts if fact.id not in left_out]
    samples_of = sampler_for(loaded, facts, options)
    weights = {name: content(located(loaded, Point.parse(name)).tensor) for name in changes}
    done = {n: c if isinstance(c, Change) else Change.of(c.cpu()) for n, c in changes.items()}
    delta = Delta(done, len(kept))
    settings = asdict(options.settings) | {"seed": options.seed} | (told or {})
    return Computed(
        delta, {"sites": sorted(changes), "weights": weights}, settings, kept,
        {fact.id: samples_of(fact) for fact in facts},
        {fact.id: Scope.none(left_out.get(fact.id, "")) for fact in facts},
        dict.fromkeys(left_out, 0.0) | seconds,
        verbatim=False,
    )  # fmt: skip


def timed(facts: Sequence[Fact], options: Options, fit: Callable[[Fact], None]) -> dict[str, float]:
    """Fit facts one after another; seconds of each by its id."""
    seconds = {}
    for number, fact in enumerate(facts):
        options.tell("fitting facts", number, len(facts))
        began = time.perf_counter()
        fit(fact)
        seconds[fact.id] = time.perf_counter() - began
    options.tell("fitting facts", len(facts), len(facts))
    return seconds
