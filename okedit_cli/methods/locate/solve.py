"""The linear solves: which change of a weight [out, d] sends new keys to their residuals, and leaves the keys
that must be preserved alone.

MEMIT (Meng et al. 2023) weighs both by least squares. AlphaEdit (Fang et al. 2025) lets the change act in the
null space of preserved keys alone. Its published form solves d x d equations; here the same change comes from
n x n ones, n edits, so that the keys of earlier edits are all that is kept. In double precision throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

RIDGE = 1e-10  # of the mean direction, so that a moment of few tokens can be solved with
ROUNDING = 1e-6  # of the largest direction: what a moment kept in fp32 cannot tell from nothing


def memit_change(
    keys: torch.Tensor, residuals: torch.Tensor, moment: torch.Tensor, weight: float
) -> torch.Tensor:
    """R K^T (weight C + K K^T)^-1 [out, d], of keys K [d, n], residuals R [out, n], the moment C [d, d]."""
    keys, residuals, moment = keys.double(), residuals.double(), moment.double()
    system = weight * moment + keys @ keys.T
    system.diagonal().add_(RIDGE * float(system.diagonal().mean()))
    return residuals @ torch.linalg.solve(system, keys).T


@dataclass(frozen=True, eq=False)
class NullSpace:
    """What preserved keys leave free: orthonormal directions [d, kept] that hold next to none of them."""

    basis: torch.Tensor
    rank: int  # directions of the moment that are not zero by rounding
    share: float  # of the preserved keys' squared length, what lies in here

    @property
    def kept(self) -> int:
        """The number of its directions."""
        return self.basis.shape[1]

    def project(self, keys: torch.Tensor) -> torch.Tensor:
        """P K [d, n], of keys [d, n]."""
        return self.basis @ (self.basis.T @ keys.to(self.basis.dtype))


def null_space(moment: torch.Tensor, share: float) -> NullSpace:
    """The most directions of a moment [d, d] that together hold at most `share` of its trace.

    Published is an absolute bound on singular values, 2e-2, which means something else in every model.
    """
    size, directions = torch.linalg.eigh(moment.double())  # ascending
    size = size.clamp_min(0)
    total = max(float(size.sum()), torch.finfo(torch.float64).tiny)
    held = size.cumsum(0) / total
    kept = int((held <= share).sum())
    rank = int((size > ROUNDING * float(size[-1])).sum())
    return NullSpace(directions[:, :kept].contiguous(), rank, float(held[kept - 1]) if kept else 0.0)


def alphaedit_change(
    keys: torch.Tensor, residuals: torch.Tensor, past: torch.Tensor, free: NullSpace, l2: float
) -> torch.Tensor:
    """The change [out, d] by keys [d, n], residuals [out, n] and the keys of earlier edits `past` [d, m].

    With A = [past, K]: the transpose of P A (l2 I + A^T P A)^-1 E R^T, where E selects the columns of K.
    """
    projected = free.project(torch.cat([past.double(), keys.double()], 1))
    gram = projected.T @ projected
    gram.diagonal().add_(l2)
    wanted = gram.new_zeros(len(gram), len(residuals))
    wanted[past.shape[1] :] = residuals.double().T
    return (projected @ torch.linalg.solve(gram, wanted)).T
