"""By which of its modules a model takes its inputs: itself, or its language model where it wants a picture.

BLIP-2's classes cannot be called without pixels, and their generate() hands the prompt to the language model
inside. Not here: what is done in a pass.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


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


class EmbeddedIds:
    """The ids that were embedded last, to know the words of a prompt that comes as `inputs_embeds`."""

    def __init__(self) -> None:
        self.ids: torch.Tensor | None = None

    def see(self, ids: Any) -> None:
        """Ids have been embedded."""
        self.ids = ids if getattr(ids, "dim", lambda: 0)() == 2 else None


def ids_of_embeds(
    ids: torch.Tensor | None, embeds: torch.Tensor, table: nn.Module, placeholder: int | None
) -> torch.Tensor | None:
    """The ids [B, L] of embeds [B, L, d], if these ids are theirs but for pictures; a prompt of several beams
    was given once. None where they are not.
    """
    if ids is None or ids.shape[1] != embeds.shape[1] or len(embeds) % len(ids):
        return None
    ids = ids.to(embeds.device).repeat_interleave(len(embeds) // len(ids), 0)
    words = ids != (-1 if placeholder is None else placeholder)
    found = table(ids)[words]
    return ids if bool((found == embeds[words].to(found.dtype)).all()) else None
