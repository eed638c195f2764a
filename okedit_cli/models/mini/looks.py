"""okedit-mini's picture space, learned: other views and drawings of a thing lie nearer than near things.

A linear map of the tokens of a picture, where they enter the decoder, trained by tools/mini/train_looks.py on
the fit split of okedit-pictures, the bank, photographs and drawn flags; its figures on things left out of
training stand in the file, and with them looks and names of a thousand of the photographs (strangers.py).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini import tokens

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

LOOKS = Path(__file__).with_name("looks.safetensors")
LOOK_WIDTH = 256
GRID = tokens.GRID**2  # of the picture's tokens those of its places; the others say what it shows


def has_learned_looks(loaded: LoadedModel) -> bool:
    """Whether a picture space was learned for this very model."""
    if "learned looks" not in loaded.cache:
        loaded.cache["learned looks"] = fingerprint(loaded)["weights"] == _read()[1]["weights"]
    return loaded.cache["learned looks"]


def learned_look(loaded: LoadedModel, seen: Tensor) -> Tensor:
    """The look [LOOK_WIDTH] of a picture's tokens, `seen` [n, d], in the learned space, on the CPU; [0] for
    another model. Of several pictures in one prompt the mean.
    """
    if not has_learned_looks(loaded):
        return torch.zeros(0)
    part, looks = _read()[0], []
    for picture in seen.to("cpu", torch.float32).split(tokens.IMAGE_TOKENS):
        if len(picture) == tokens.IMAGE_TOKENS:
            looks.append(flattened(picture[None], part)[0] @ part["projection"] - part["offset"])
    return torch.stack(looks).mean(0) if looks else torch.zeros(LOOK_WIDTH)


def stranger_looks() -> Tensor:
    """Looks [n, LOOK_WIDTH] of photographs that no edit is about, in the learned space."""
    return _read()[0]["strangers"]


def stranger_names() -> list[str]:
    """What okedit-mini calls each of them; "" where it is not sure."""
    return _read()[1]["stranger_names"].split("\n")


def flattened(rows: Tensor, bases: Mapping[str, Tensor]) -> Tensor:
    """Tokens [n, IMAGE_TOKENS, d] in the directions that are kept of them, one row a picture."""
    grid, said = rows[:, :GRID] @ bases["grid"], rows[:, GRID:] @ bases["said"]
    return torch.cat([grid.flatten(1), said.flatten(1)], 1)


@functools.cache
def _read() -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(LOOKS, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata()  # noqa: SIM118
