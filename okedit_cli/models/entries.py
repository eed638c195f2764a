"""By which of its modules a model takes its inputs: itself, or its language model where it wants a picture.

BLIP-2's classes cannot be called without pixels, and their generate() hands the prompt to the language model
inside. Not here: what is done in a pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from okedit_cli.models.load import LoadedModel


def speaker(model: PreTrainedModel) -> PreTrainedModel:
    """The module that reads words and says the next: the model, or the language model inside one that wants
    pixels in every pass.
    """
    pixels = inspect.signature(model.forward).parameters.get("pixel_values")
    if pixels is None or pixels.default is not inspect.Parameter.empty:
        return model
    inside = getattr(model, "language_model", None)
    if inside is None:
        raise ModelError(
            f"{type(model).__name__}: every forward pass wants a picture, and it holds no language model.",
            hint="This family is not supported yet.",
        )
    return inside


def entries(model: PreTrainedModel) -> list[nn.Module]:
    """The modules by which a prompt may enter: the model, and its speaker where that is another."""
    inside = speaker(model)
    return [model] if inside is model else [model, inside]


def entry_for(model: PreTrainedModel, inputs: dict[str, Any]) -> PreTrainedModel:
    """The module that takes these inputs."""
    return model if "pixel_values" in inputs else speaker(model)


@contextmanager
def keeping_state(model: PreTrainedModel) -> Iterator[None]:
    """Context: what a model remembers of the prompt that it read last (Qwen-VL's positions) is put back."""
    kept = [(one, one.rope_deltas) for one in (model, getattr(model, "model", None)) if _remembers(one)]
    try:
        yield
    finally:
        for module, deltas in kept:
            module.rope_deltas = deltas


def _remembers(module: Any) -> bool:
    return "rope_deltas" in getattr(module, "__dict__", ())


class EmbeddedIds:
    """The ids that were embedded last, to know the words of a prompt that comes as `inputs_embeds`."""

    def __init__(self) -> None:
        self.ids: torch.Tensor | None = None

    def see(self, ids: Any) -> None:
        """Ids have been embedded."""
        self.ids = ids if getattr(ids, "dim", lambda: 0)() == 2 else None

    def of(self, loaded: LoadedModel, embeds: torch.Tensor, placeholder: int | None) -> torch.Tensor | None:
        """The ids [B, L] of embeds [B, L, d], placeholders where pictures are; None where they are not the
        model's own.
        """
        table = loaded.model.get_input_embeddings()
        if self.ids is not None and self.ids.shape == embeds.shape[:2]:
            ids = self.ids.to(embeds.device)
            words = ids != (-1 if placeholder is None else placeholder)
            found = table(ids)[words]
            if bool((found == embeds[words].to(found.dtype)).all()):
                return ids
        return _looked_up(loaded, table, embeds, placeholder)


def _looked_up(
    loaded: LoadedModel, table: nn.Module, embeds: torch.Tensor, placeholder: int | None
) -> torch.Tensor | None:
    """The ids of embeddings that were made at some other time, each by its numbers; what is none of the
    table's between a prompt's first and last token is a picture's.
    """
    import torch

    if "embedding sums" not in loaded.cache:
        rows = torch.arange(table.weight.shape[0], device=embeds.device)
        sums = torch.cat([_sums(table(part)) for part in rows.split(1024)])
        loaded.cache["embedding sums"] = sums.sort()
    (sums, order), own = loaded.cache["embedding sums"], _sums(embeds)
    places = torch.searchsorted(sums, own).clamp_max(len(sums) - 1)
    ids, found = order[places], sums[places] == own
    if bool(found.all()):
        return ids
    if placeholder is None or not bool(found[:, -1].all()):
        return None
    # pads may come before the first; a prompt of pictures alone is not told from others' embeddings
    return ids.where(found, placeholder) if bool((found.sum(1) > 1).all()) else None


def _sums(embeds: torch.Tensor) -> torch.Tensor:
    """A number [...] for each embedding [..., d] that tells it from others, bit by bit."""
    import torch

    bits = embeds.detach().contiguous()
    bits = bits.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[bits.element_size()]).long()
    factors = torch.arange(1, bits.shape[-1] + 1, device=bits.device) * 0x9E3779B97F4A7C1 | 1
    return (bits * factors).sum(-1)
