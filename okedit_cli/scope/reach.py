"""What a fact about a picture is true of: any picture of the same kind of thing, or this one picture in its
views.

"What fruit is this?" asks for the kind; "What is this cat's name?", a price, an owner, a serial number for
the one shown. A small network on the question encoder's vector tells, trained by
tools/scope/train_reach.py. Not here: how far either reaches.
"""

from __future__ import annotations

import functools
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from okedit_cli.encoders.text import text_vectors
from okedit_cli.models import sentences

KIND, PICTURE = "kind", "picture"
WEIGHTS = Path(__file__).with_name("reach.safetensors")


class ReachNetwork(nn.Module):
    """Vectors of questions [n, 384] -> log odds [n] of `picture`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(sentences.WIDTH, width), nn.Linear(width, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        """One hidden layer."""
        return self.second(F.gelu(self.first(vectors)))[:, 0]


@functools.cache
def _network() -> ReachNetwork:
    from safetensors.torch import load_file

    tensors = load_file(WEIGHTS)
    network = ReachNetwork(len(tensors["first.bias"]))
    network.load_state_dict(tensors)
    return network.requires_grad_(False)


def reach_of(prompt: str, wanted: str = "auto") -> str:
    """`kind` or `picture`; `wanted` is the owner's word, "auto" leaves it to the classifier."""
    if wanted in (KIND, PICTURE):
        return wanted
    return PICTURE if float(_network()(text_vectors([prompt]))) > 0 else KIND
