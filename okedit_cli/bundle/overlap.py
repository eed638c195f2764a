"""Which edits of two codebooks can fire on the same prompt? In blocks: 50,000 against 50,000 take seconds.

Two stages: a screen of each channel (screen.py) leaves few candidates, that of the sparser channel first;
their distances are then computed pair by pair in float64, so that no block size changes an answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from okedit_cli.bundle.screen import ROWS, Channel, Screen

__all__ = ["Channel", "overlaps"]

PAIRS = 1 << 16  # pairs of keys compared at a time
EXACT = 2000  # pairs of balls that a screen compares in the time of one pair of keys compared exactly


def overlaps(one: tuple[Channel, ...], other: tuple[Channel, ...]) -> Iterator[tuple[torch.Tensor, ...]]:
    """Blocks of (i, j, distance [channels, pairs] float64) of edits that meet in every channel, by i, then j.

    They meet in a channel when their nearest keys are closer than the longer of both radii, or one of these
    is infinite.
    """
    edits = len(one[0].radius)
    if not edits or not len(other[0].radius):
        return
    with _workers() as (pool, ahead):
        screens = list(pool.map(Screen, one, other))
        order = sorted(range(len(screens)), key=lambda c: screens[c].share)
        keys = sum(len(a.keys) * len(b.keys) for a, b in zip(one, other, strict=True))
        work = EXACT * keys / (edits * len(other[0].radius))  # of a pair of edits that is compared exactly
        parts = ((top, min(top + ROWS, edits)) for top in range(0, edits, ROWS))
        found = deque()
        for top, bottom in parts:
            found.append(pool.submit(_candidates, [screens[c] for c in order], work, top, bottom))
            if len(found) > ahead:
                yield from _exact(one, other, *found.popleft().result(), order)
        while found:
            yield from _exact(one, other, *found.popleft().result(), order)


@contextmanager
def _workers() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """A pool of as many threads as torch uses, and their number. Each works by itself: on a busy machine
    threads that share thousands of short products would wait for each other for most of the time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool, threads
    finally:
        torch.set_num_threads(threads)


def _candidates(screens: Sequence[Screen], work: float, top: int, bottom: int) -> tuple[torch.Tensor, ...]:
    """(i, j) of pairs that may meet, of edits top .. bottom; a screen that would save less than it costs is
    left out.
    """
    near = screens[0].meet(top, bottom)
    for screen in screens[1:]:
        if np.count_nonzero(near) * (1 - screen.share) * work > screen.pairs(top, bottom):
            near &= screen.meet(top, bottom)
    i, j = np.divmod(np.flatnonzero(near), near.shape[1])
    return torch.from_numpy(i + top), torch.from_numpy(j)


def _exact(
    one: Sequence[Channel], other: Sequence[Channel], i: torch.Tensor, j: torch.Tensor, order: Sequence[int]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Distances of candidate pairs; only those where a key of one lies within the other's reach."""
    for some in torch.arange(len(i)).split(PAIRS) if len(i) else ():
        yield from _exact_of(one, other, i[some], j[some], order)


def _exact_of(one, other, i, j, order) -> Iterator[tuple[torch.Tensor, ...]]:
    distances: dict[int, torch.Tensor] = {}
    for channel in order:
        a, b = one[channel], other[channel]
        distance = _nearest(a, b, i, j)
        # a key inside the other's reach: that balls touch says nothing, the deeper one wins where they do
        reach = torch.maximum(a.radius[i], b.radius[j])
        meet = (distance < reach) | torch.isinf(reach)
        distances = {c: d[meet] for c, d in distances.items()} | {channel: distance[meet]}
        i, j = i[meet], j[meet]
    if len(i):
        yield i, j, torch.stack([distances[channel] for channel in range(len(one))])


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
