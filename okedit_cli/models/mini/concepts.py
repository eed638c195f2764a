"""The concept head of okedit-mini: what a picture shows, as probabilities over names, kinds and colours.

Two recognisers share one vocabulary of names: a small network trained on drawings and small photographs,
and the
encoder's own ImageNet classifier, taken as it is. A gate decides, by how the picture looks, which of them
speaks.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

POOLED, MIDDLE, COLOURS = 1280, 120, 48
INPUTS = POOLED + MIDDLE + COLOURS


def head_inputs(pooled: torch.Tensor, middle: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """Pooled features [B, 1280], pooled middle [B, 120], colour grid [B, 3, 8, 8] in 0..255 -> [B, 1448]."""
    coarse = F.avg_pool2d(colours.float(), 2).flatten(1) / 128 - 1
    return torch.cat([pooled.float(), middle.float(), coarse], 1)


class ConceptHead(nn.Module):
    """[B, 1448] -> logits over names and kinds, and a unit embedding in which the same thing lies close."""

    def __init__(self, names: int, kinds: int, hidden: int = 1024, width: int = 384):
        super().__init__()
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("scale", torch.ones(INPUTS))
        self.inner = nn.Linear(INPUTS, hidden)
        self.outer = nn.Linear(hidden, width)
        self.names = nn.Parameter(torch.randn(names, width) * width**-0.5)
        self.kinds = nn.Linear(hidden, kinds)
        self.gate = nn.Linear(hidden, 1)
        self.temperature = nn.Parameter(torch.tensor(16.0))

    def hidden(self, inputs: torch.Tensor) -> torch.Tensor:
        """Standardised inputs -> hidden layer [B, hidden]."""
        return F.gelu(self.inner((inputs - self.mean) * self.scale))

    def embed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Unit embedding [B, width]."""
        return F.normalize(self.outer(hidden), dim=1)

    def name_logits(self, embedding: torch.Tensor) -> torch.Tensor:
        """Scaled cosine to every name's prototype [B, names]."""
        return self.temperature * embedding @ F.normalize(self.names, dim=1).T
