"""okedit-mini's picture space, learned: other views and drawings of a thing lie nearer than near things.

A linear map of looks (what enters the decoder), trained by tools/mini/train_looks.py on the fit split of
okedit-pictures and the bank; its figures on things left out of training stand in the file.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from okedit_cli.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from okedit_cli.models.load import LoadedModel

LOOKS = Path(__file__).with_name("looks.safetensors")


def learned_looks(loaded: LoadedModel) -> tuple[Tensor, Tensor] | None:
    """mean [d] and projection [d, r], fp32, of the space that was learned for this very model; None for any
    other.
    """
    mean, projection, weights = _read()
    return (mean, projection) if fingerprint(loaded)["weights"] == weights else None


@functools.cache
def _read() -> tuple[Tensor, Tensor, str]:
    from safetensors import safe_open

    with safe_open(LOOKS, "pt") as file:
        return (
            file.get_tensor("mean").float(),
            file.get_tensor("projection").float(),
            file.metadata()["weights"],
        )
