"""How far an edit reaches: keys and radius of one channel, from what is to be inside and outside.

Keys are spread over the positives; a positive's distance is to the nearest key made from another sample, so
that a radius is judged on wordings and views it has not stored. The radius lies between both sides and
never past a negative: eps = d_pos + t (d_neg - d_pos), which is BalancEdit's radius (ICML 2025, section
4.2) with order statistics for d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

BALANCE = 0.8  # t: 0 hugs the positives, 1 touches the nearest negative
KEYS = 12
REACHED = 0.75  # share of the positives that d_pos covers
TWIN = 1e-3  # positives this near to each other need one key


@dataclass(frozen=True)
class Reach:
    """Keys [k, r] of one channel with d_pos, d_neg and the radius (0 when none exists)."""

    keys: torch.Tensor
    d_pos: float
    d_neg: float
    radius: float

    @property
    def exists(self) -> bool:
        """Whether the positives are nearer than every negative."""
        return self.d_pos < self.d_neg


def spread_keys(points: torch.Tensor, count: int = KEYS) -> list[int]:
    """Rows that cover the points: the first, then each time the one farthest from those chosen."""
    chosen = [0]
    nearest = torch.linalg.vector_norm(points - points[0], dim=1)
    while len(chosen) < min(count, len(points)):
        index = int(nearest.argmax())
        if float(nearest[index]) <= TWIN:
            break
        chosen.append(index)
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(points - points[index], dim=1))
    return chosen


def reach(
    positives: torch.Tensor, negatives: torch.Tensor, *, count: int = KEYS, balance: float = BALANCE
) -> Reach:
    """Keys and radius from positives [p, r] (the edit itself first) and negatives [n, r]."""
    chosen = spread_keys(positives, count)
    keys = positives[chosen]
    apart = torch.cdist(positives, keys)
    for column, row in enumerate(chosen):
        apart[row, column] = torch.inf
    own = apart.amin(1) if len(chosen) > 1 else torch.linalg.vector_norm(positives - keys[0], dim=1)
    own = own[torch.isfinite(own)].sort().values
    d_pos = float(own[max(0, -(-int(REACHED * 100) * len(own) // 100) - 1)]) if len(own) else 0.0
    d_neg = float("inf")
    if len(negatives):
        away = torch.cdist(negatives, keys).amin(1)
        d_neg = float(away.min())
    if d_neg == float("inf"):
        return Reach(keys, d_pos, d_neg, 2 * d_pos if d_pos > 0 else 1.0)
    radius = d_pos + balance * (d_neg - d_pos) if d_pos < d_neg else 0.0
    return Reach(keys, d_pos, d_neg, radius)
