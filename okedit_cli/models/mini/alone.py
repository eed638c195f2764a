"""okedit-mini's picture tower by itself: vectors of pictures without the language model behind it.

For a scope in front of an engine, and for keys that no base model must be loaded for. The vectors are those
that the whole model's tower gives (pictures.py). Not here: the rows that the tower makes for a decoder.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from okedit_cli.models.mini.pictures import mapped

PREFIX = "vision_tower."


@torch.inference_mode()
def tower_vectors(pictures: Sequence[Any]) -> torch.Tensor:
    """Vectors [n, r] of pictures (PIL or RGB arrays), fp32, on the CPU; each is read by itself.

    SetupError: okedit-mini is not set up and cannot be fetched.
    """
    from okedit_cli.models.mini import ensure

    processor, tower = _opened(ensure())
    rows = []
    for picture in pictures:
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        rows.append(mapped(tower(pixels).pooler_output.float())[0])
    return torch.stack(rows) if rows else mapped(None)


@functools.cache
def _opened(folder: Path) -> tuple[Any, Any]:
    """(image processor, tower) of the model in a folder, in fp32; no other weight of it is read."""
    from safetensors import safe_open
    from transformers import AutoConfig

    from okedit_cli.models.load import quiet
    from okedit_cli.models.mini.tower import OkeditMiniVisionModel, register
    from okedit_cli.models.processor import load_processor

    register()
    with quiet():
        config = AutoConfig.from_pretrained(folder)
        processor, _ = load_processor(str(folder), config=config)
        tower = OkeditMiniVisionModel(config.vision_config)
    with safe_open(folder / "model.safetensors", "pt") as file:
        own = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118 (not a dict)
        tower.load_state_dict({name.removeprefix(PREFIX): file.get_tensor(name) for name in own})
    return processor.image_processor, tower.float().eval().requires_grad_(False)
