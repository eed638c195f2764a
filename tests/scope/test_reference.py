"""Reference pictures are keys already: a wide model's are not of the width that its vectors have."""

import torch

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.edits.codebook import Codebook
from okedit_cli.scope.retriever import held_scale

WIDE, NARROW = 12, 3


def made(away: float) -> Bundle:
    """One edit of radius 2 at the origin of a narrow space, and references so far away."""
    none = torch.zeros(0, dtype=torch.int64)
    book = Codebook(
        torch.ones(WIDE), torch.randn(WIDE, NARROW), torch.zeros(0), torch.zeros(0, 4),
        torch.zeros(1, NARROW), torch.zeros(1, dtype=torch.int64), torch.zeros(0, 4), none,
        torch.tensor([2.0]), torch.tensor([1.0]),
        torch.zeros(1, 1, WIDE), torch.zeros(1, 1, WIDE), torch.zeros(1, WIDE),
    )  # fmt: skip
    reference = torch.zeros(200, NARROW)
    reference[:, 0] = away
    facts = [{"id": "one", "prompt": "What is this?", "answer": "a cat"}]
    manifest = Manifest(base={}, site={"picture_point": "decoder input"}, method="balancedit", facts=facts)
    return Bundle(manifest, book, extras={"reference_pictures": reference.half()})


def test_radii_are_scaled_by_how_near_reference_pictures_lie():
    assert held_scale(made(1.0)) == 0.5
    assert held_scale(made(8.0)) == 1.0
