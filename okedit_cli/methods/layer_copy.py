"""The published value: a linear map of one layer, tuned on the edit alone by cross-entropy on its answer.

What is tuned is a full-rank map beside the layer's feed-forward part, since a bundle's values are added to
that part's output; it is kept by its leading singular directions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.methods.values import Values
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.sites import hidden_size
from okedit_cli.models.suffix import read_prompts, run_suffix

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

STEPS, RATE = 50, 1e-4  # of Adam, as published
PUBLISHED = 4096  # width of the decoders that the rate was published for
# chosen by 40 edits of the fit split on okedit-mini: 1 leaves 0.7 to 2.7 nats of an answer, 1.5 answers 37 of
# them and 78 % of their other wordings, 2 all of them and 89 %
NARROWER = 2.0
KEPT = 0.01  # of the largest singular value: directions below it are left out
MOST = 64  # directions kept


def rate_for(width: int) -> float:
    """The published rate, as far-reaching in a decoder of this width: each weight moves by the rate a step,
    and an output sums over `width` inputs, which are smaller in narrow decoders, too.
    """
    return RATE * (PUBLISHED / width) ** NARROWER


def fit_copies(
    loaded: LoadedModel,
    edits: Sequence[Sample],
    layer: int,
    *,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[Values, list[float]]:
    """A value for each edit's sample, all of one rank, and the seconds each took."""
    parts, seconds = [], []
    for sample in edits:
        began = time.perf_counter()
        parts.append(leading(tuned(loaded, sample, layer)))
        seconds.append(time.perf_counter() - began)
        done(len(parts))
    width = hidden_size(loaded.model)
    rank = max((len(down) for down, _ in parts), default=1)
    down, up = torch.zeros(2, len(parts), rank, width)
    for row, (first, second) in enumerate(parts):
        down[row, : len(first)], up[row, : len(second)] = first, second
    return Values(down, up, torch.zeros(len(parts), width)), seconds


def tuned(loaded: LoadedModel, sample: Sample, layer: int) -> torch.Tensor:
    """The fine-tuned map [d, d]: x @ map is added to the layer's feed-forward output."""
    width = hidden_size(loaded.model)
    question = (sample.prompt, sample.picture)
    suffix = read_prompts(loaded, [question], [answer_ids(loaded, sample.target)], layer)
    weight = torch.zeros(width, width, device=loaded.device, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=rate_for(width))
    for _ in range(STEPS):
        optimiser.zero_grad()
        logits = run_suffix(loaded, suffix, lambda x: x.float() @ weight).float()
        F.cross_entropy(logits.flatten(0, 1), suffix.targets.flatten(), ignore_index=-100).backward()
        optimiser.step()
    return weight.detach().cpu()


def leading(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """down, up [rank, d] with (x @ down.T) @ up near x @ weight: its directions that count."""
    left, size, right = torch.linalg.svd(weight)
    rank = min(MOST, max(1, int((size > KEPT * size[0]).sum())))
    root = size[:rank].sqrt()
    return (left[:, :rank] * root).T.contiguous(), root[:, None] * right[:rank]
