"""The target vector z*: what a layer should put out where a fact is looked up, for the new answer to follow.

As MEMIT has it: an offset to the layer's output, by Adam on the answer's likelihood over several beginnings,
the divergence of what the model says of the subject, and the offset's length; clamped to a share of the
state's length, done when the loss is small. CoME takes from it what leads to the old answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.methods.locate.lookup import Place, Reading, read_to, tail_behind
from okedit_cli.methods.tuning import scaled_rate

if TYPE_CHECKING:
    from okedit_cli.methods.locate.settings import ComeSettings, Locating
    from okedit_cli.models.load import LoadedModel

ESSENCE = "{} is a"


@dataclass(frozen=True, eq=False)
class Target:
    """The state [h] that the layer puts out, the offset [h] that leads to the answer, the last loss, and the
    steps that were taken.
    """

    state: torch.Tensor
    offset: torch.Tensor
    loss: float
    steps: int


def offset_to(
    loaded: LoadedModel,
    place: Place,
    answer: Sequence[int],
    layer: int,
    settings: Locating,
    steps: int | None = None,
    stop: bool = True,
) -> Target:
    """Optimise the offset that leads to an answer (ids); `stop`: as soon as the loss is small."""
    reading = read_to(loaded, place.prompts(settings.prefixes), answer[:-1], place.tail, layer)
    essence = _essence(loaded, place, layer) if settings.kl else None
    state, wanted = reading.state, torch.tensor(list(answer), device=loaded.device)
    rate = scaled_rate(loaded, settings.rate)
    with torch.enable_grad():
        offset = torch.zeros_like(state, requires_grad=True)
        optimiser, before, steps = torch.optim.Adam([offset], lr=rate), None, steps or settings.steps
        for step in range(steps):
            said = reading.logits(offset, len(wanted))
            loss = F.cross_entropy(said.flatten(0, 1), wanted.repeat(len(said)))
            if essence is not None:
                now = essence.logits(offset, 1)[:, -1].log_softmax(-1)
                before = now.detach() if before is None else before
                loss = loss + settings.kl * F.kl_div(before, now, log_target=True, reduction="batchmean")
            if step:  # the root has no slope at nothing
                loss = loss + settings.decay * offset.norm() / state.norm() ** 2
            if (stop and float(loss.detach()) < settings.stop) or step == steps - 1:
                break
            (offset.grad,) = torch.autograd.grad(loss, offset)
            optimiser.step()
            with torch.no_grad():
                longest = settings.clamp * state.norm()
                if offset.norm() > longest:
                    offset *= longest / offset.norm()
    return Target(state, offset.detach(), float(loss.detach()), step)


def _essence(loaded: LoadedModel, place: Place, layer: int) -> Reading | None:
    """What the model says right behind the subject's name; nothing where the fact has no subject."""
    if place.subject is None:
        return None
    text = ESSENCE.format(place.subject)
    tail = tail_behind(loaded, text, place.subject)
    return None if tail is None else read_to(loaded, [(text, None)], (), tail, layer, cut=tail - 1)


def unlearned(new: Target, old: Target, settings: ComeSettings) -> torch.Tensor:
    """The target state [h] of CoME: h + d, and on its largest coordinates less alpha (d' - d'').

    d leads to the new answer, d' to the old one; d'' is what of d' lies along both, its projection on d + d'.
    As in the paper: the released code takes alpha d' away, adds d'' unscaled, and takes the largest
    coordinates by sign.
    """
    target, away = new.state + new.offset, old.offset
    both = F.normalize(new.offset + away, dim=0)
    away = away - (away @ both) * both
    count = round(settings.share * len(target))
    where = target.abs().topk(count).indices
    target = target.clone()
    target[where] -= settings.alpha * away[where]
    return target
