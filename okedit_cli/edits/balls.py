"""Balls around the keys of edits: one for each edit, or more where it would be too large."""

from __future__ import annotations

import torch

ROUNDS = 6  # of parting balls that are too large
ROOM, SHARE = 0.25, 0.2  # a ball is too large beyond this part of its radius and of the spread of all keys


def too_large(radius: torch.Tensor, spread: float) -> torch.Tensor:
    """The extent [N] beyond which a ball is parted; `spread` is how far keys lie from their mean."""
    return torch.clamp(ROOM * radius, min=SHARE * spread)


def parted(
    keys: torch.Tensor, owner: torch.Tensor, most: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centres [G, w], the edit [G] that each belongs to, and the ball [k] of each key, for keys [k, w] of
    edits `owner` [k]. Balls larger than `most` [N] are parted, a few times over.
    """
    edit, centres, owners = torch.arange(len(most)), [], []
    place, ball, balls = torch.arange(len(keys)), torch.zeros(len(keys), dtype=torch.int64), 0
    group = owner
    for rest in reversed(range(ROUNDS)):
        centre, extent = around(keys, group, len(edit))
        filled = torch.bincount(group, minlength=len(edit)) > 0
        large = filled & (extent > most[edit]) & (rest > 0)
        whole = filled & ~large
        centres.append(centre[whole])
        owners.append(edit[whole])
        settled = whole[group]
        ball[place[settled]] = balls + (whole.cumsum(0) - 1)[group[settled]]
        balls += len(owners[-1])
        if not large.any():
            break
        own = large[group]
        keys, place, group = keys[own], place[own], (large.cumsum(0) - 1)[group[own]]
        group = 2 * group + _nearer_to_the_end(keys, centre[large], group)
        edit = edit[large].repeat_interleave(2)
    return torch.cat(centres), torch.cat(owners), ball


def around(keys: torch.Tensor, group: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre [groups, w] and extent [groups] of the keys of each group."""
    centre = torch.zeros(groups, keys.shape[1]).index_add_(0, group, keys)
    centre /= torch.bincount(group, minlength=groups).clamp(min=1)[:, None]
    return centre, extents(keys, centre, group)


def extents(keys: torch.Tensor, centre: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """How far each group's keys reach from its centre, [groups]."""
    away = torch.linalg.vector_norm(keys - centre[group], dim=1)
    return torch.zeros(len(centre)).scatter_reduce_(0, group, away, "amax")


def _nearer_to_the_end(keys: torch.Tensor, centre: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Two keys of each group lie far from each other: is a key nearer to the second of them? [k]"""
    end, _ = _farthest(keys, centre, group)
    start, to_end = _farthest(keys, keys[end], group)
    return to_end < torch.linalg.vector_norm(keys - keys[start][group], dim=1)


def _farthest(keys, point, group) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each group the first key that lies farthest from its point, and all distances [k]."""
    away = torch.linalg.vector_norm(keys - point[group], dim=1)
    most = torch.zeros(len(point)).scatter_reduce_(0, group, away, "amax")
    last = max(0, len(keys) - 1)
    place = torch.where(away == most[group], torch.arange(len(keys)), last)
    return torch.full((len(point),), last).scatter_reduce_(0, group, place, "amin"), away
