"""Which edits of two bundles can meet in a channel? A few numbers of each rule nearly all pairs out.

The keys of an edit lie in a few small balls of a space of their first principal coordinates and the length
of what they leave over: no two keys are farther apart there than they are. Where no ball of one edit reaches
a ball of another, they do not meet; which of the others do is computed exactly elsewhere (overlap.py). All
pairs of balls are compared, block by block, with one matrix product each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from okedit_cli.edits.balls import extents, parted, too_large

WIDTH = (
    128  # coordinates: a product twice as wide costs little more, and lets a hundredth of the pairs through
)
SAMPLE = 16384  # keys that the principal directions are taken from
BLOCK = 1 << 15  # keys handled at a time while balls are made
ROWS, COLUMNS = 256, 2048  # edits, and balls, of one block: its products stay in the cache
TRIED = 512  # edits of each side that tell how many pairs a channel lets through
SLACK = 1e-4  # of the squares compared: rounding may let too many through, never too few


@dataclass
class Channel:
    """Keys [K, r] of N edits in one channel: edit i has keys first[i] .. first[i] + count[i]; radius [N]."""

    keys: torch.Tensor
    first: torch.Tensor
    count: torch.Tensor
    radius: torch.Tensor

    @classmethod
    def of(cls, keys: torch.Tensor, owner: torch.Tensor, radius: torch.Tensor) -> Channel:
        """From a codebook's tensors, in float64 for the radii; keys in order are not copied."""
        if len(owner) and bool((owner[1:] < owner[:-1]).any()):
            keys = keys[torch.argsort(owner, stable=True)]
        count = torch.bincount(owner, minlength=len(radius))
        return cls(keys.float(), count.cumsum(0) - count, count, radius.double())


@dataclass
class Balls:
    """Balls of N edits with reaches [N]: centre [G, w], extent [G] and the edit [G] that each belongs to.

    An edit that is open, or has no keys, has none.
    """

    centre: torch.Tensor
    extent: torch.Tensor
    owner: torch.Tensor
    reach: torch.Tensor

    def some(self, edits: torch.Tensor) -> Balls:
        """Those of chosen edits, numbered as they are chosen."""
        number = torch.full((len(self.reach),), -1)
        number[edits] = torch.arange(len(edits))
        own = number[self.owner] >= 0
        return Balls(self.centre[own], self.extent[own], number[self.owner[own]], self.reach[edits])


class _Columns:
    """Balls to be compared with, in blocks of about equal reach, with what of a product is theirs."""

    def __init__(self, balls: Balls) -> None:
        self.open = np.isinf(balls.reach.numpy())
        self.balls, self.blocks = balls, []
        order = torch.argsort(balls.reach[balls.owner], stable=True)
        for some in order.split(COLUMNS) if len(order) else ():
            centre, extent, owner = balls.centre[some], balls.extent[some], balls.owner[some]
            self.blocks.append((_right(centre, extent), balls.reach[owner].amax(), owner.numpy()))

    def meet(self, rows: Balls) -> np.ndarray:
        """Mask [N, M]: False only where an edit of `rows` does not meet one of these."""
        mask = np.zeros((len(rows.reach), len(self.open)), dtype=bool)
        mask[np.isinf(rows.reach.numpy())] = True
        mask[:, self.open] = True
        flat, own, reach = mask.reshape(-1), rows.owner.numpy(), rows.reach[rows.owner]
        product = torch.empty(len(own) * COLUMNS)
        for right, longest, theirs in self.blocks if len(own) else ():
            left = _left(rows.centre, rows.extent + torch.maximum(reach, longest))
            some = product[: len(own) * len(theirs)].view(len(own), len(theirs))
            apart = torch.matmul(left, right, out=some).numpy() >= 0
            if not apart.all():  # what is no number, of numbers past all bounds, rules nothing out
                row, column = np.divmod(np.flatnonzero(~apart), len(theirs))
                flat[own[row] * mask.shape[1] + theirs[column]] = True
        return mask


class Screen:
    """One channel of two bundles."""

    def __init__(self, one: Channel, other: Channel) -> None:
        space = _Space(one, other)
        self.rows, balls = space.balls(one), space.balls(other)
        self.columns = _Columns(balls)
        tried = [torch.arange(0, len(b.reach), max(1, len(b.reach) // TRIED)) for b in (self.rows, balls)]
        sample = _Columns(balls.some(tried[1])).meet(self.rows.some(tried[0]))
        self.share = float(sample.mean()) if sample.size else 0.0  # of all pairs, about

    def meet(self, top: int, bottom: int) -> np.ndarray:
        """Mask [bottom - top, M]: False only where edits top .. bottom do not meet those of the other."""
        return self.columns.meet(self.rows.some(torch.arange(top, bottom)))

    def pairs(self, top: int, bottom: int) -> float:
        """How many pairs of balls that compares, about."""
        balls = len(self.rows.owner) * len(self.columns.balls.owner)
        return balls * (bottom - top) / max(1, len(self.rows.reach))


def _left(centre: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """u [G, w + 3] with u . v < 0 where two balls meet: |a - b|^2 - (R + S)^2 is bilinear in them."""
    return torch.cat([-2 * centre, -2 * size[:, None], _edge(centre, size), torch.ones(len(size), 1)], dim=1)


def _right(centre: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """v [w + 3, G] for the same."""
    return torch.cat([centre, size[:, None], torch.ones(len(size), 1), _edge(centre, size)], dim=1).T


def _edge(centre: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    square, reach = centre.square().sum(1, keepdim=True), size.square()[:, None]
    return square - reach - SLACK * (square + reach) - 1e-12


class _Space:
    """The first principal coordinates of the keys of both sides, and the length of the rest."""

    def __init__(self, one: Channel, other: Channel) -> None:
        sample = torch.cat([c.keys[:: max(1, 2 * len(c.keys) // SAMPLE)] for c in (one, other)]).double()
        self.mean = sample.mean(0) if len(sample) else torch.zeros(one.keys.shape[1], dtype=torch.float64)
        sample = (sample - self.mean).nan_to_num()
        scale = float(sample.abs().max()) if sample.numel() else 0.0
        sample = sample / (scale or 1.0)
        self.basis = torch.linalg.eigh(sample.T @ sample)[1].flip(1)[:, : WIDTH - 1]
        self.spread = scale * float(sample.square().sum(1).mean().sqrt()) if len(sample) else 0.0

    def balls(self, side: Channel) -> Balls:
        """Balls around the keys of each edit: one, or more where it would be too large."""
        reach = side.radius.float()
        group = torch.arange(len(reach)).repeat_interleave(side.count)
        finite = torch.isfinite(reach)[group]
        group, keys = group[finite], self._coordinates(side.keys, finite)
        centre, edit, ball = parted(keys, group, too_large(reach, self.spread))
        return Balls(centre, extents(keys, centre, ball), edit, reach)

    def _coordinates(self, keys: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Keys [k, r] -> [chosen, w]."""
        basis, mean, out = self.basis.float(), self.mean.float(), []
        for some in chosen.nonzero()[:, 0].split(BLOCK):
            key = keys[some] - mean
            first = key @ basis
            # not from the squares: of large numbers that are nearly equal little would be left that is true
            rest = torch.linalg.vector_norm(key - first @ basis.T, dim=1, keepdim=True)
            out.append(torch.cat([first, rest], dim=1))
        return torch.cat(out) if out else torch.zeros(0, basis.shape[1] + 1)
