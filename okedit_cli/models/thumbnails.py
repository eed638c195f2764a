"""A small picture of what a model is shown, beside what it makes of it: brightness, 32 by 32, a little soft.

Read from what the image processor hands to the model, where that is one picture of pixels. It stands at the
end of a picture's vector; key spaces leave it out, since they take of a vector what they know.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

SIDE = 32
LEAST = 14  # pixels of a side of what a model is shown; smaller pictures have no thumbnail
THUMBNAIL = SIDE * SIDE  # numbers of a thumbnail at the end of a picture's vector, zeros for none
_BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
_FLAT = 1e-4  # a picture whose brightness varies less than this shows nothing


def thumbnails_of(pixels: Any, pictures: int) -> list[torch.Tensor]:
    """Thumbnails [THUMBNAIL] of 0 to 1 of `pictures` in pixel values [n, 3, h, w], or [n, 1, 3, h, w]; zeros
    where pixels come in another form, as tiles or patches.
    """
    none = [torch.zeros(THUMBNAIL)] * pictures
    if not isinstance(pixels, torch.Tensor) or not pixels.is_floating_point():
        return none
    if pixels.dim() == 5 and pixels.shape[1] == 1:
        pixels = pixels[:, 0]
    if pixels.dim() != 4 or pixels.shape[1] != 3 or len(pixels) != pictures or min(pixels.shape[2:]) < LEAST:
        return none
    weights = torch.tensor(_BRIGHTNESS, device=pixels.device).view(1, 3, 1, 1)
    bright = (pixels.detach().float() * weights).sum(1, keepdim=True)
    small = F.pad(F.adaptive_avg_pool2d(bright, SIDE), (1, 1, 1, 1), mode="replicate")
    # soft, because what is as fine as a pixel comes out otherwise in every view
    line = torch.tensor([0.25, 0.5, 0.25], device=small.device)
    small = F.conv2d(small, (line[:, None] * line).view(1, 1, 3, 3))
    return [_stretched(one) for one in small.flatten(1).cpu()]


def thumbnails_of_rows(pixels: Any, placeholders: torch.Tensor) -> list[torch.Tensor | None]:
    """The thumbnail of each row's picture, from where its placeholders stand [B, L]; None for a row without
    one. A row with several pictures leaves all without.
    """
    shows = placeholders.any(1).tolist()
    found = iter(thumbnails_of(pixels, sum(shows)))
    return [next(found) if one else None for one in shows]


def _stretched(bright: torch.Tensor) -> torch.Tensor:
    """Brightness from 0 to 1: what processors scale, and lamps, does not matter."""
    low, high = bright.aminmax()
    if not bool(torch.isfinite(high - low)) or float(high - low) < _FLAT:
        return torch.zeros(THUMBNAIL)
    return (bright - low) / (high - low)


def thumbnail_in(vector: torch.Tensor) -> torch.Tensor | None:
    """The thumbnail [THUMBNAIL] in a picture's vector; None where it has none."""
    found = vector[-THUMBNAIL:]
    return found if len(found) == THUMBNAIL and bool(found.any()) else None


def as_bytes(thumbnail: torch.Tensor) -> torch.Tensor:
    """A thumbnail as it is stored, uint8."""
    return (thumbnail * 255).round().to(torch.uint8)
