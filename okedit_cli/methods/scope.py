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
KEYS = 8
SAME = 0.5  # of the calibrated radius: a drawn negative nearer than this may be a positive
CLEAR = 0.95  # of the way to a drawn negative
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
        """Whether there is a radius that leaves every negative out."""
        return self.radius > 0


def spread_keys(points: torch.Tensor, count: int = KEYS, begun: int = 1) -> list[int]:
    """Rows that cover the points: the first `begun`, then each time the one farthest from those chosen."""
    chosen = list(range(begun))
    nearest = torch.cdist(points, points[:begun], compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    while len(chosen) < min(count, len(points)):
        index = int(nearest.argmax())
        if float(nearest[index]) <= TWIN:
            break
        chosen.append(index)
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(points - points[index], dim=1))
    return chosen


def reach(
    positives: torch.Tensor,
    given: torch.Tensor,
    drawn: torch.Tensor,
    calibrated: float,
    *,
    count: int = KEYS,
    balance: float = BALANCE,
) -> Reach:
    """Keys and radius of positives [p, r] (the edit first) and negatives, given [n, r] and drawn [m, r]."""
    chosen = spread_keys(positives, count)
    keys = positives[chosen]
    apart = torch.cdist(positives, keys)
    for column, row in enumerate(chosen):
        apart[row, column] = torch.inf
    own = apart.amin(1) if len(chosen) > 1 else torch.linalg.vector_norm(positives - keys[0], dim=1)
    own = own[torch.isfinite(own)].sort().values
    d_pos = float(own[max(0, -(-int(REACHED * 100) * len(own) // 100) - 1)]) if len(own) else 0.0
    d_given, d_drawn = _nearest(given, keys), _nearest(drawn, keys, SAME * calibrated)
    radius = min(calibrated, CLEAR * d_drawn)
    if d_given < float("inf"):
        # keys are positives: what the user keeps may lie between them and the farthest wording
        reached = min(d_pos, calibrated)
        if reached < d_given:
            d_pos, radius = min(reached, radius), min(radius, reached + balance * (d_given - reached))
        else:  # whatever was drawn: one more negative must not make room for an edit
            radius = 0.0
    return Reach(keys, d_pos, min(d_given, d_drawn), radius)


def _nearest(points: torch.Tensor, keys: torch.Tensor, least: float = 0.0) -> float:
    """The smallest distance from points to keys that is above `least`; inf without one."""
    if not len(points):
        return float("inf")
    away = torch.cdist(points, keys).amin(1)
    away = away[away > least] if least else away
    return float(away.min()) if len(away) else float("inf")
