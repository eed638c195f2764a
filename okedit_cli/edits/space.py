"""Spaces in which distance means sense: linear maps that shrink what varies while the meaning stays.

From groups of features that mean the same (wordings of one question, views of one picture) comes the
within-group scatter; the map is its inverse square root, shrunk towards the identity (whitening with the
within-class covariance, as in linear discriminant analysis), followed by a fixed random projection to a
smaller size, which keeps distances.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

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
        """Features [..., d or more] -> keys [..., r]; what the space lacks is left out."""
        return (features[..., : len(self.mean)].float() - self.mean) @ self.projection


def separation(keys: torch.Tensor, group: torch.Tensor) -> float:
    """Share of same-group pairs nearer than the nearest key of any other group, averaged over anchors."""
    distance = torch.cdist(keys, keys)
    same = group[:, None] == group[None]
    nearest_other = distance.masked_fill(same, torch.inf).amin(1, keepdim=True)
    mates = same & ~torch.eye(len(keys), dtype=torch.bool)
    wins = ((distance < nearest_other) & mates).sum(1) / mates.sum(1).clamp_min(1)
    return float(wins[mates.any(1)].mean())


@dataclass(frozen=True)
class _Scatter:
    """Within-group scatter, with the mean and the total variance: eigenvalues [k] and eigenvectors [d, k] of
    the directions that n samples span; in all others it is nothing. Samples are fewer than they are wide, so
    it is a thin singular value decomposition, by the smaller of the two products.
    """

    mean: torch.Tensor
    values: torch.Tensor
    vectors: torch.Tensor
    total: float

    @classmethod
    def of(cls, features: torch.Tensor, group: torch.Tensor) -> _Scatter:
        features = features.double()
        mean = features.mean(0)
        _, place = group.unique(return_inverse=True)
        size = torch.bincount(place).double()
        means = torch.zeros(len(size), features.shape[1], dtype=torch.float64)
        means = means.index_add_(0, place, features) / size[:, None]
        within = features - means[place]
        values, vectors = _spanned(within)
        total = float((features - mean).var(0).mean()) or 1.0
        return cls(mean, values / max(1, len(features) - len(size)), vectors, total)

    def space(self, shrinkage: float, width: int) -> Space:
        """The whitening with this much of the total variance added to every direction."""
        rest = (shrinkage * self.total) ** -0.5
        scale = (self.values + shrinkage * self.total).rsqrt() - rest
        mixer = _mixer(len(self.mean), width)
        mixed = rest * mixer + self.vectors @ (scale[:, None] * (self.vectors.T @ mixer))
        return Space(self.mean.float(), mixed.float(), 0.0, shrinkage)


def _spanned(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared singular values [k] and right singular vectors [d, k] of rows [n, d], but for those that are
    rounding.
    """
    wide = rows.shape[0] < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > 1e-12 * values.amax()
    values, vectors = values[kept], vectors[:, kept]
    return values, (rows.T @ vectors) / values.sqrt() if wide else vectors


def fit_space(features: torch.Tensor, group: torch.Tensor, shrinkage: float, width: int = WIDTH) -> Space:
    """A space from features [n, d] and their groups [n]; separation is left at 0."""
    return _Scatter.of(features, group).space(shrinkage, width)


def best_space(features: torch.Tensor, group: torch.Tensor, width: int = WIDTH) -> Space:
    """The space whose shrinkage separates best: fitted on even groups, judged on odd ones, then fitted on
    all.
    """
    even = group % 2 == 0
    half, judged = _Scatter.of(features[even], group[even]), []
    for shrinkage in SHRINKAGES:
        keys = half.space(shrinkage, width)(features[~even])
        judged.append((separation(keys, group[~even]), shrinkage))
    score, shrinkage = max(judged, key=lambda pair: (round(pair[0], 3), pair[1]))
    return replace(_Scatter.of(features, group).space(shrinkage, width), separation=score)


@functools.cache
def _mixer(size: int, width: int) -> torch.Tensor:
    """Orthonormal columns [size, min(width, size)], the same on every machine."""
    if width >= size:
        return torch.eye(size, dtype=torch.float64)
    noise = torch.randn(size, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    return q * torch.sign(torch.diagonal(r)) * (size / width) ** 0.5
