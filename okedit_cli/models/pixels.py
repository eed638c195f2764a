"""A picture as RGB again, out of what a processor has made of it for the model.

The verifier compares pictures, and in a user's own forward pass only their tensors are at hand. Not here:
what the model makes of them (features.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.spans import parts_of

if TYPE_CHECKING:
    import numpy as np

    from okedit_cli.models.load import LoadedModel


def rgb_of(
    loaded: LoadedModel,
    given: Mapping[str, Any],
    spans: Sequence[Sequence[torch.Tensor]],
    row: int,
    index: int,
) -> np.ndarray | None:
    """The picture `index` of a row as RGB uint8 [h, w, 3], from what a forward pass was `given` and where the
    pictures of all rows lie (spans.py); None where it is laid out in a way that is not known.
    """
    pixels = given.get("pixel_values")
    if not isinstance(pixels, torch.Tensor) or not pixels.is_floating_point():
        return None
    number = sum(len(own) for own in spans[:row]) + index  # among all pictures of the batch
    count = sum(len(own) for own in spans)
    try:
        found = _found(loaded, given, pixels, spans, row, index, number, count)
    except (IndexError, RuntimeError, ValueError):  # another layout than the family's
        return None
    return None if found is None else _shown(loaded, found)


def _found(loaded, given, pixels, spans, row, index, number, count) -> torch.Tensor | None:
    """Pixel values [3, h, w] of one picture."""
    grid = given.get("image_grid_thw")
    if grid is not None and pixels.dim() == 2:
        return _of_patches(loaded, pixels, grid, number)
    if pixels.dim() == 6:  # Mllama: [rows, pictures, tiles, 3, h, w]
        return _of_tiles(loaded, pixels[row, index], int(given["aspect_ratio_ids"][row, index]))
    if pixels.dim() == 5 and loaded.model.config.model_type in ("idefics2", "idefics3", "smolvlm"):
        # [rows, tiles, 3, h, w]: of each picture's tiles the last is the whole of it
        return pixels[row, sum(parts_of(own) for own in spans[row][: index + 1]) - 1]
    if pixels.dim() == 5 and len(pixels) == count:  # LLaVA-NeXT and OneVision: the whole comes first
        return pixels[number, 0]
    if pixels.dim() != 4 or pixels.shape[1] != 3:
        return None
    if len(pixels) == count:
        sizes = given.get("image_sizes")
        found = pixels[number]
        return found if sizes is None else found[:, : int(sizes[number][0]), : int(sizes[number][1])]
    each = getattr(loaded.processor, "image_seq_length", None)
    if not isinstance(each, int):
        return None
    tiles = [len(own) // each for rows in spans for own in rows]  # InternVL: the whole comes last
    return pixels[sum(tiles[: number + 1]) - 1] if sum(tiles) == len(pixels) else None


def _of_patches(loaded: LoadedModel, pixels: torch.Tensor, grid: torch.Tensor, number: int) -> torch.Tensor:
    """Qwen-VL: patches [n, 3 * t * p * p], those that are merged side by side."""
    sizes = [int(one.prod()) for one in grid]
    start = sum(sizes[:number])
    _, high, wide = (int(one) for one in grid[number])
    settings = loaded.processor.image_processor
    side, merge = settings.patch_size, settings.merge_size
    part = pixels[start : start + high * wide].float()
    part = part.view(high // merge, wide // merge, merge, merge, 3, -1, side, side)[..., 0, :, :]
    return part.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, high * side, wide * side)


def _of_tiles(loaded: LoadedModel, tiles: torch.Tensor, ratio: int) -> torch.Tensor:
    """Mllama: tiles [n, 3, h, w] laid out as the ratio of this number (from 1) says."""
    most = loaded.processor.image_processor.max_image_tiles
    ratios = [(a, b) for a in range(1, most + 1) for b in range(1, most + 1) if a * b <= most]
    high, wide = ratios[ratio - 1]
    rows = tiles[: high * wide].view(high, wide, *tiles.shape[1:])
    return rows.permute(2, 0, 3, 1, 4).reshape(3, high * tiles.shape[-2], wide * tiles.shape[-1])


def _shown(loaded: LoadedModel, found: torch.Tensor) -> np.ndarray:
    """Pixel values as the processor had them before it took their mean away."""
    settings = loaded.processor.image_processor
    mean, std = (torch.tensor(getattr(settings, f"image_{part}", None) or fill) for part, fill in
                 (("mean", [0.0] * 3), ("std", [1.0] * 3)))  # fmt: skip
    found = found.detach().float().cpu() * std.view(3, 1, 1) + mean.view(3, 1, 1)
    return (found.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
