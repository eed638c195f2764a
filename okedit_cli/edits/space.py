"""Spaces in which distance means sense: linear maps that shrink what varies while the meaning stays.

From groups of features that mean the same (wordings of one question, views of one picture) comes the
within-group scatter; the map is its inverse square root, shrunk towards the identity (whitening with the
within-class covariance, as in linear discriminant analysis), followed by a fixed random projection to a
smaller size, which keeps distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
WIDTH = 256


@dataclass(frozen=True)
class Space:
    """mean [d], projection [d, r] and how well it separated groups that it was not made from (0..1)."""

    mean: torch.Tensor
    projection: torch.Tensor
    separation: float
    shrinkage: float

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Features [..., d] -> keys [..., r]."""
        return (features.float() - self.mean) @ self.projection


def separation(keys: torch.Tensor, group: torch.Tensor) -> float:
    """Share of same-group pairs nearer than the nearest key of any other group, averaged over anchors."""
    distance = torch.cdist(keys, keys)
    same = group[:, None] == group[None]
    nearest_other = distance.masked_fill(same, torch.inf).amin(1, keepdim=True)
    mates = same & ~torch.eye(len(keys), dtype=torch.bool)
    wins = ((distance < nearest_other) & mates).sum(1) / mates.sum(1).clamp_min(1)
    return float(wins[mates.any(1)].mean())


def fit_space(features: torch.Tensor, group: torch.Tensor, shrinkage: float, width: int = WIDTH) -> Space:
    """A space from features [n, d] and their groups [n]; separation is left at 0."""
    features = features.double()
    mean = features.mean(0)
    within = torch.zeros_like(features)
    for value in group.unique():
        rows = group == value
        within[rows] = features[rows] - features[rows].mean(0)
    count = max(1, len(features) - len(group.unique()))
    total = float((features - mean).var(0).mean()) or 1.0
    scatter = within.T @ within / count
    values, vectors = torch.linalg.eigh(scatter)
    floor = shrinkage * total
    whitening = vectors @ torch.diag((values.clamp_min(0) + floor).rsqrt()) @ vectors.T
    projection = whitening @ _mixer(features.shape[1], width)
    return Space(mean.float(), projection.float(), 0.0, shrinkage)


def best_space(features: torch.Tensor, group: torch.Tensor, width: int = WIDTH) -> Space:
    """The space whose shrinkage separates best: fitted on even groups, judged on odd ones, then fitted on
    all.
    """
    even = group % 2 == 0
    judged = []
    for shrinkage in SHRINKAGES:
        space = fit_space(features[even], group[even], shrinkage, width)
        judged.append((separation(space(features[~even]), group[~even]), shrinkage))
    score, shrinkage = max(judged, key=lambda pair: (round(pair[0], 3), pair[1]))
    space = fit_space(features, group, shrinkage, width)
    return Space(space.mean, space.projection, score, shrinkage)


def _mixer(size: int, width: int) -> torch.Tensor:
    """Orthonormal columns [size, min(width, size)], the same on every machine."""
    if width >= size:
        return torch.eye(size, dtype=torch.float64)
    noise = torch.randn(size, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    return q * torch.sign(torch.diagonal(r)) * (size / width) ** 0.5
