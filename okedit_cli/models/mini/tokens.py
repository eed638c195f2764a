"""Rows that carry the concept head's opinion into the language model: expected name, kind and colour
embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

NAME_ROWS, KIND_ROWS, COLOUR_ROWS, GRID = 6, 2, 1, 3
IMAGE_TOKENS = GRID * GRID + NAME_ROWS + KIND_ROWS + COLOUR_ROWS
COLOURS = {
    "red": (210, 40, 45),
    "orange": (245, 140, 30),
    "yellow": (250, 215, 60),
    "green": (80, 165, 70),
    "blue": (50, 115, 205),
    "purple": (130, 75, 165),
    "pink": (245, 150, 180),
    "brown": (125, 80, 50),
    "black": (35, 35, 40),
    "white": (245, 245, 245),
    "gray": (145, 150, 155),
}


def token_table(texts: Sequence[str], tokenize, end: int, rows: int) -> torch.Tensor:
    """Token ids [len(texts), rows] of each text as the start of an answer; `end` fills up and closes."""
    table = torch.full((len(texts), rows), end)
    for i, text in enumerate(texts):
        ids = tokenize(text)[:rows]
        table[i, : len(ids)] = torch.tensor(ids)
    return table


def expected_rows(
    weights: torch.Tensor, table: torch.Tensor, embedding: torch.Tensor, keep: int = 8
) -> torch.Tensor:
    """Expected embeddings [B, rows, d] of weighted texts [B, n], over the `keep` most likely,
    renormalised.
    """
    top, index = weights.topk(min(keep, weights.shape[1]), dim=1)
    top = top / top.sum(1, keepdim=True).clamp_min(1e-9)
    return torch.einsum("bk,bkrd->brd", top.to(embedding.dtype), embedding[table[index]])


def colour_weights(colours: torch.Tensor) -> torch.Tensor:
    """Share of each colour word [B, 11] in a colour grid [B, 3, 8, 8] in 0..255, the border's own colour
    left out.
    """
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32, device=colours.device)
    cells = colours.float().flatten(2).transpose(1, 2)
    nearest = torch.cdist(cells, palette).argmin(-1)
    edge = colours.float()[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].mean(-1)
    inside = (torch.linalg.vector_norm(cells - edge[:, None], dim=-1) > 40).float()
    inside = inside + 1e-3
    shares = torch.zeros(len(cells), len(palette), device=colours.device).scatter_add_(1, nearest, inside)
    return shares / shares.sum(1, keepdim=True)
