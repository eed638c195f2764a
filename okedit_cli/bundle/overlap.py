"""Which edits of two codebooks can fire on the same prompt? In blocks: 50,000 against 50,000 take seconds.

Two stages: a ball around all keys of an edit, tested for whole blocks with one matrix product a channel,
leaves few candidates; their distances are then computed pair by pair in float64, so that no block size
changes an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

ROWS, COLUMNS = 1024, 16384  # edits of one block
PAIRS = 1 << 18  # pairs of keys compared at a time
SLACK = 1e-4  # of the squares compared: rounding in the first stage may let too many through, never too few


@dataclass
class Channel:
    """Keys [K, r] of N edits in one channel: edit i has keys first[i] .. first[i] + count[i]; radius [N]."""

    keys: torch.Tensor
    first: torch.Tensor
    count: torch.Tensor
    radius: torch.Tensor

    @classmethod
    def of(cls, keys: torch.Tensor, owner: torch.Tensor, radius: torch.Tensor) -> Channel:
        """From a codebook's tensors, in float64 for the radii."""
        order = torch.argsort(owner, stable=True)
        count = torch.bincount(owner, minlength=len(radius))
        return cls(keys[order].float(), count.cumsum(0) - count, count, radius.double())

    def balls(self, middle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre [N, r] from `middle` and size [N] of a ball around the scope of each edit; inf when open."""
        owner = torch.arange(len(self.radius)).repeat_interleave(self.count)
        keys = self.keys - middle
        centre = torch.zeros(len(self.radius), keys.shape[1]).index_add_(0, owner, keys)
        centre /= self.count.clamp(min=1)[:, None]
        extent = torch.zeros(len(self.radius))
        extent.scatter_reduce_(0, owner, torch.linalg.vector_norm(keys - centre[owner], dim=1), "amax")
        return centre, extent + self.radius.float()


def overlaps(one: tuple[Channel, ...], other: tuple[Channel, ...]) -> Iterator[tuple[torch.Tensor, ...]]:
    """Blocks of (i, j, distance [channels, pairs] float64) for edits whose scopes meet in every channel.

    Scopes meet in a channel when the nearest two keys are closer than both radii, or a radius is infinite.
    """
    if not len(one[0].radius) or not len(other[0].radius):
        return
    sides = [_affine(a, b) for a, b in zip(one, other, strict=True)]
    for top in range(0, len(one[0].radius), ROWS):
        for left in range(0, len(other[0].radius), COLUMNS):
            near = None
            for rows, columns in sides:
                test = (rows[top : top + ROWS] @ columns[left : left + COLUMNS].T) < 0
                near = test if near is None else near.logical_and_(test)
            i, j = near.nonzero(as_tuple=True)
            for some in torch.arange(len(i)).split(PAIRS):
                yield from _exact(one, other, i[some] + top, j[some] + left)


def _affine(one: Channel, other: Channel) -> tuple[torch.Tensor, torch.Tensor]:
    """u [N, r+3], v [M, r+3] with u . v < 0 where two balls meet: |a-b|^2 - (R+S)^2 is bilinear in them."""
    middle = (
        torch.cat([one.keys, other.keys]).mean(0)
        if len(one.keys) + len(other.keys)
        else one.keys.new_zeros(1)
    )
    (a, big_a), (b, big_b) = one.balls(middle), other.balls(middle)
    finite = [size[torch.isfinite(size)] for size in (big_a, big_b)]
    widest = max([float(size.max()) for size in finite if len(size)], default=0.0)
    span = widest + 2 * max(float(torch.linalg.vector_norm(c, dim=1).max()) for c in (a, b)) + 1
    big_a, big_b = big_a.clamp(max=span), big_b.clamp(max=span)
    square_a, square_b = a.square().sum(1), b.square().sum(1)
    edge_a = square_a - big_a.square() - SLACK * (square_a + big_a.square()) - 1e-12
    edge_b = square_b - big_b.square() - SLACK * (square_b + big_b.square()) - 1e-12
    rows = torch.cat([-2 * a, -2 * big_a[:, None], edge_a[:, None], torch.ones(len(a), 1)], dim=1)
    return rows, torch.cat([b, big_b[:, None], torch.ones(len(b), 1), edge_b[:, None]], dim=1)


def _exact(one, other, i: torch.Tensor, j: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Distances of candidate pairs; only those where a key of one lies within the other's reach."""
    distances = []
    for a, b in zip(one, other, strict=True):
        distance = _nearest(a, b, i, j)
        # a key inside the other's reach: that balls touch says nothing, the nearer key wins where they do
        reach = torch.maximum(a.radius[i], b.radius[j])
        meet = (distance < reach) | torch.isinf(reach)
        i, j, distances = i[meet], j[meet], [d[meet] for d in distances] + [distance[meet]]
    if len(i):
        yield i, j, torch.stack(distances)


def _nearest(a: Channel, b: Channel, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    """Smallest distance [pairs] float64 between keys of edits i and of edits j; inf where one has none."""
    out = torch.full((len(i),), float("inf"), dtype=torch.float64)
    total = a.count[i] * b.count[j]
    ends = total.cumsum(0)
    start = 0
    while start < len(i):
        before = int(ends[start - 1]) if start else 0
        stop = int(torch.searchsorted(ends, before + PAIRS, right=True))
        if stop <= start:  # one pair of edits with more keys than a block holds
            out[start] = _nearest_of_many(a, b, int(i[start]), int(j[start]))
            start += 1
            continue
        pair = torch.arange(start, stop).repeat_interleave(total[start:stop])
        place = torch.arange(len(pair)) - (ends - total)[pair] + before
        left = a.first[i[pair]] + place // b.count[j[pair]]
        right = b.first[j[pair]] + place % b.count[j[pair]]
        distance = torch.linalg.vector_norm(a.keys[left].double() - b.keys[right].double(), dim=1)
        out.scatter_reduce_(0, pair, distance, "amin")
        start = stop
    return out


def _nearest_of_many(a: Channel, b: Channel, i: int, j: int) -> float:
    theirs = b.keys[int(b.first[j]) : int(b.first[j] + b.count[j])].double()
    mine = a.keys[int(a.first[i]) : int(a.first[i] + a.count[i])]
    return min(
        float(torch.linalg.vector_norm(some.double()[:, None] - theirs, dim=2).min())
        for some in mine.split(max(1, PAIRS // len(theirs)))
    )
