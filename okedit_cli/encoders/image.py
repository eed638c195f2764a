"""Image encoders: one vector a picture, in which pictures of one thing lie near. Not here: any radius.

For okedit-mini, what its tower says of a picture, mapped as was learned (models/mini/pictures.py); the tower
can be asked by itself, without the language model behind it (models/mini/alone.py). For any other model, what
enters its decoder for the picture. Or an encoder by hub id or folder (CLIP, SigLIP, DINOv2), which reads
pixels and belongs to no base model. All but the first are whitened by a map that is stored in the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from okedit_cli.encoders.hub import load_encoder

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle import Bundle

MINI = "okedit-mini pictures"
DECODER = "decoder input"
NONE = "none"


def reads_pixels(point: str) -> bool:
    """Whether a bundle's picture point is an encoder of its own, by hub id or folder."""
    return point not in (MINI, DECODER, NONE)


def needs_model(point: str) -> bool:
    """Whether vectors of a picture point are to be had from the base model alone."""
    return point == DECODER


def image_vectors(pictures: Sequence[Any], encoder: str) -> torch.Tensor:
    """Unit vectors [n, d] of pictures (PIL or RGB arrays), fp32, on the CPU; each is read by itself.
    `encoder` is a hub id or folder, or MINI.

    ModelError: the encoder cannot be loaded.
    """
    import torch
    from torch.nn import functional as F

    if encoder == MINI:
        from okedit_cli.models.mini.alone import tower_vectors

        return tower_vectors(pictures)

    processor, model = load_encoder(encoder, "image")
    rows = []
    for picture in pictures:
        inputs = processor(images=picture, return_tensors="pt")
        with torch.inference_mode():
            read = getattr(model, "get_image_features", model)
            found = read(pixel_values=inputs["pixel_values"])
        rows.append(F.normalize(_pooled(found)[0].float(), dim=0))
    return torch.stack(rows)


def width_of(encoder: str) -> int:
    """Numbers of a vector of an encoder by hub id or folder."""
    import numpy as np

    return image_vectors([np.zeros((32, 32, 3), np.uint8)], encoder).shape[1]


def _pooled(found: Any) -> torch.Tensor:
    """[n, d] of what a model gives for pictures."""
    if hasattr(found, "shape"):
        return found
    pooled = getattr(found, "pooler_output", None)
    return found.last_hidden_state.mean(1) if pooled is None else pooled


def reference_of(bundle: Bundle) -> torch.Tensor | None:
    """Keys [n, r] of unrelated pictures in a bundle's picture space; None where none are known."""
    site = bundle.manifest.site
    if site.get("picture_point") == MINI:
        from okedit_cli.models.mini.pictures import reference_pictures

        return reference_pictures()
    return bundle.extras.get("reference_pictures")
