"""A running generate(): what it was given, how long its prompts are, and which forward passes are its own.

Not here: what is done in these passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Running:
    """What a generate() was given by name, how many columns its prompts have (0: not known yet), whether
    these have been read, and caches of passes that were others'.
    """

    inputs: dict[str, Any]
    columns: int
    read: bool = False
    others: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, inputs: dict[str, Any]) -> Running:
        """Of inputs by name."""
        ids, embeds = prompt_of(inputs), inputs.get("inputs_embeds")
        known = ids if embeds is None else embeds
        return cls(inputs, 0 if known is None else known.shape[1])

    @property
    def given_ids(self) -> int:
        """Columns of ids that come before those which it makes; none where it was given embeddings alone."""
        ids = prompt_of(self.inputs)
        return 0 if ids is None else ids.shape[1]

    def is_of_another(self, cache: Any, named: Mapping[str, Any]) -> bool:
        """Whether a pass on this cache over what it is given by name is none of this call's own: that of a
        logits processor, which asks the model something else (classifier-free guidance).
        """
        if not self.read or cache is not None and cache.get_seq_length() > 0:
            return self.read and any(cache is other for other in self.others)
        ids, embeds = named.get("input_ids"), named.get("inputs_embeds")
        given = embeds if ids is None else ids
        if given is None or given.shape[1] < self.columns:
            return True
        whole = None if ids is None else self.whole(len(ids))
        return whole is not None and not torch.equal(ids[:, : self.columns], whole.to(ids.device))

    def whole(self, rows: int) -> torch.Tensor | None:
        """The prompts' ids [rows, L], each once a beam; None where ids are not what was given."""
        ids = prompt_of(self.inputs)
        fits = ids is not None and len(ids) and rows % len(ids) == 0 and ids.shape[1] == self.columns
        return ids.repeat_interleave(rows // len(ids), 0) if fits else None


def prompt_of(inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """The prompts' ids [B, L] among what a generate() was given by name; None where it was given none."""
    ids = inputs.get("input_ids")
    return inputs.get("inputs") if ids is None else ids


def attended(mask: Any, ids: torch.Tensor, given: Mapping[str, Any]) -> torch.Tensor:
    """Which columns of ids [B, L] are read [B, L]: by a mask of that shape, by that which the running
    generate() was `given`, or by what the last row of a mask [B, 1, Q, L] sees. All, where none tells.
    """
    if isinstance(mask, Mapping):  # one for each kind of layer
        mask = mask.get("full_attention", next(iter(mask.values()), None))
    shape, columns = getattr(mask, "shape", ()), ids.shape[1]
    if len(shape) == 2 and shape[0] == len(ids) and shape[1] >= columns:
        return mask[:, :columns].bool().long()
    own = given.get("attention_mask")
    if getattr(own, "ndim", 0) == 2 and own.shape[1] == columns and len(ids) % len(own) == 0:
        return own.repeat_interleave(len(ids) // len(own), 0).bool().long()
    if len(shape) == 4 and shape[0] in (1, len(ids)) and shape[-1] >= columns:
        last = mask[:, 0, -1, :columns]
        seen = last if last.dtype == torch.bool else last > torch.finfo(last.dtype).min / 2
        return seen.long().expand(len(ids), -1)
    return torch.ones_like(ids)
