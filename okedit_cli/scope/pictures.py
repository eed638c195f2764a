"""Pictures of queries: of those whose files are at hand, and of those that only a forward pass has shown.

Not here: what is done with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from okedit_cli.models.features import Look, picture_vector
from okedit_cli.models.sites import image_token_id, tokens_of_picture
from okedit_cli.scope.query import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


def seen(look: Look) -> Picture:
    """What a model has seen, as a picture of a query."""
    return _of_file(look.vector, look.picture)


def _of_file(vector: torch.Tensor, file: Image) -> Picture:
    return Picture(vector, lambda: np.asarray(file.convert("RGB")), file)


class Shown:
    """The pictures of a batch in a forward pass, whose files nobody has at hand."""

    def __init__(
        self, loaded: LoadedModel, ids: torch.Tensor, mask: torch.Tensor, pixels: Any, said: Any
    ) -> None:
        self.loaded, self.pixels, self.said = loaded, pixels, said
        placeholder = image_token_id(loaded.model)
        shows = (ids == (-1 if placeholder is None else placeholder)) & mask.bool()
        each = tokens_of_picture(loaded)
        counts = [int(n) // each if each else int(n > 0) for n in shows.sum(1)]
        self.first = [sum(counts[:row]) for row in range(len(counts) + 1)]

    def of(self, row: int, states: torch.Tensor, ids: torch.Tensor, file: Image | None = None) -> Picture:
        """The picture of one row, of its decoder inputs [L, d] and ids [L]; its pixels are the file's, where
        that is at hand.
        """
        own = slice(self.first[row], self.first[row + 1])
        said = None if self.said is None or len(self.said) != self.first[-1] else self.said[own]
        vector = picture_vector(self.loaded, states, ids, said)
        if file is not None:
            return _of_file(vector, file)
        return Picture(vector, lambda: rgb_of(self.loaded, self.pixels, own, self.first[-1]))


def rgb_of(loaded: LoadedModel, pixels: Any, own: slice, count: int):
    """One of `count` pictures as RGB uint8 [h, w, 3] from pixel values [n, 3, h, w]; None where they come
    as tiles or patches, or a row has several.
    """
    if not isinstance(pixels, torch.Tensor) or not pixels.is_floating_point() or own.stop - own.start != 1:
        return None
    if pixels.dim() == 5 and pixels.shape[1] == 1:
        pixels = pixels[:, 0]
    if pixels.dim() != 4 or pixels.shape[1] != 3 or len(pixels) != count:
        return None
    settings = loaded.processor.image_processor
    mean, std = (torch.tensor(getattr(settings, f"image_{part}", None) or fill) for part, fill in
                 (("mean", [0.0] * 3), ("std", [1.0] * 3)))  # fmt: skip
    found = pixels[own.start].detach().float().cpu() * std.view(3, 1, 1) + mean.view(3, 1, 1)
    return (found.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
