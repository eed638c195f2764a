"""Weight deltas on a model: weights exchanged for changed ones, and the very tensors put back.

Changed weights are new tensors; the originals are kept and never written to, so that what is taken off is the
same to the last bit. What was read with other weights (looks at pictures, prefixes) is set aside with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.points import Point, Weight, weight_at

if TYPE_CHECKING:
    from okedit_cli.edits.delta import Delta
    from okedit_cli.models.load import LoadedModel

READ = ("prefixes", "drafts", "noted", "looks", "look_ids", "whole_prompts")  # what depends on weights


class Weights:
    """The weights of one model as deltas change them."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._originals: list[tuple[Weight, torch.Tensor]] = []
        self._aside: dict[str, Any] = {}

    @property
    def changed(self) -> bool:
        """Whether any weight is not the base model's."""
        return bool(self._originals)

    @torch.no_grad()
    def put(self, deltas: Sequence[Delta]) -> None:
        """Exchange weights for those that all deltas together give, in place of what was there before. Gated
        ones stand beside the weights (side.py).
        """
        self.take_off()
        changes: dict[str, list] = {}
        for delta in (one for one in deltas if not one.gated):
            for site, change in delta.changes.items():
                changes.setdefault(site, []).append(change)
        if not changes:
            return
        cache = self.loaded.cache
        self._aside = {name: cache.pop(name) for name in READ if name in cache}
        for site, several in changes.items():
            weight = weight_at(self.loaded.model, Point.parse(site))
            original = weight.tensor.data
            value = weight.matrix()
            for change in several:
                value += change.whole().to(value.device)
            self._originals.append((weight, original))
            weight.module.weight.data = (value.T if weight.turned else value).to(original.dtype).contiguous()

    def take_off(self) -> None:
        """Put the originals back."""
        if not self._originals:
            return
        for weight, original in self._originals:
            weight.module.weight.data = original
        self._originals = []
        for name in READ:
            self.loaded.cache.pop(name, None)
        self.loaded.cache.update(self._aside)
        self._aside = {}
