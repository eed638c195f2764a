"""okedit-mini's picture space: what its tower says of a picture, mapped so that pictures of one thing lie
near.

Two spaces side by side, weighed by the tower's own opinion whether it sees a photograph: of photographs,
statistics of several levels' features and what the class and concept heads say, whitened by what varies
within a thing; of drawings, the names that the heads give. Made by tools/scope/train_pictures.py, whose
figures stand in the file; with it the keys of reference pictures that no edit is about, by which radii are
calibrated.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from okedit_cli.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

MAP = Path(__file__).with_name("pictures.safetensors")


def has_learned_map(loaded: LoadedModel) -> bool:
    """Whether the picture space was learned for this very model."""
    if "learned map" not in loaded.cache:
        loaded.cache["learned map"] = fingerprint(loaded)["weights"] == _read()[1]["weights"]
    return loaded.cache["learned map"]


def mapped(said: Tensor | None) -> Tensor:
    """What the tower says of pictures [n, D + 1 + names] -> unit vectors [n, r], nearly; of none [0, r]."""
    part = _read()[0]
    if said is None:
        return torch.zeros(0, part["projection"].shape[1] + part["names"].shape[1])
    return joined(said, part)


def joined(said: Tensor, part: Mapping[str, Tensor]) -> Tensor:
    """Both spaces [n, r] by their maps: `mean`, `scale` [D], `projection` [D, a], `names` [names, b]."""
    width = len(part["mean"])
    looks = F.normalize((said[:, :width] - part["mean"]) * part["scale"], dim=1)
    looks = F.normalize(looks @ part["projection"], dim=1)
    photo, names = said[:, width : width + 1], F.normalize(said[:, width + 1 :], dim=1) @ part["names"]
    return torch.cat([photo.sqrt() * looks, (1 - photo).sqrt() * names], 1)


def photograph_share(key: Tensor) -> float:
    """How surely a key is of a photograph, 0 to 1: the share of its length that is of looks."""
    looks = key[: _read()[0]["projection"].shape[1]]
    return min(1.0, float(looks @ looks))


def reference_pictures() -> Tensor:
    """Keys [n, r] of pictures that no edit is about."""
    return _read()[0]["reference"]


def calibrated(name: str) -> float:
    """A radius or share that was measured when the map was made."""
    return float(_read()[1][name])


@functools.cache
def _read() -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(MAP, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata()  # noqa: SIM118
