"""What was fitted to facts, as the tensors of a codebook. Not here: fitting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.codebook import Codebook
from okedit_cli.encoders import text
from okedit_cli.methods.keys import Reach
from okedit_cli.methods.spaces import Spaces

if TYPE_CHECKING:
    from okedit_cli.methods.values import Values

TWIN = 1e-3  # the radius of a forced fact without one


def stack_views(files: Sequence[Sequence[bytes]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Small JPEG files of several edits as rows [n, t] uint8, filled up with zeros, and which edit each
    belongs to.
    """
    flat = [data for some in files for data in some]
    rows = torch.zeros(len(flat), max(map(len, flat), default=0), dtype=torch.uint8)
    for row, data in zip(rows, flat, strict=True):
        row[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    counts = torch.tensor([len(some) for some in files], dtype=torch.int64)
    return rows, torch.arange(len(files)).repeat_interleave(counts)


def stack(spaces: Spaces, reaches: Sequence[tuple[Reach, Reach | None]], values: Values) -> Codebook:
    """All rows as one codebook; spaces and values in half precision, keys and radii in full."""

    def column(channel: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        keys, owner, radius = [torch.zeros(0, width)], [], []
        for row, pair in enumerate(reaches):
            found = pair[channel]
            if found is None:
                radius.append(float("inf"))
                continue
            keys.append(found.keys)
            owner += [row] * len(found.keys)
            # without a radius the fact was forced: it covers its positives, and over-reaches
            radius.append(found.radius if found.exists else max(found.d_pos, TWIN))
        return (
            torch.cat(keys).float(),
            torch.tensor(owner, dtype=torch.int64),
            torch.tensor(radius, dtype=torch.float32),
        )

    q_keys, q_owner, q_radius = column(0, text.width_of(spaces.encoder))
    width = spaces.bank_pictures.shape[1] if spaces.bank_pictures is not None else 1
    p_keys, p_owner, p_radius = column(1, width)
    mapped = spaces.picture is not None and len(spaces.picture.mean)
    return Codebook(
        spaces.picture.mean if mapped else torch.zeros(0),
        spaces.picture.projection if mapped else torch.zeros(0, width),
        torch.zeros(0),
        torch.zeros(0, q_keys.shape[1]),
        p_keys,
        p_owner,
        q_keys,
        q_owner,
        p_radius,
        q_radius,
        values.down.half(),
        values.up.half(),
        values.bias.half(),
    )
