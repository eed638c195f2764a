"""What okedit-mini reads notes with: low-rank changes of its decoder, taught apart from the model.

The counterpart of SERAC's counterfactual model (Mitchell et al. 2022): a small model told what a picture
shows mostly says it again; with these it says what follows from it. They act on rows that read a note, from
the note's first token on (models/notes.py). Trained by tools/mini/train_reader.py on things and countries of
the fit split of okedit-pictures and of the vocabulary, none of which the test split names.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.sites import decoder_layers

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

READER = Path(__file__).with_name("reader.safetensors")


def learned_reader(loaded: LoadedModel) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """(linear layer, down [rank, in], up [out, rank]) of each change; none for another model."""
    if "reader" not in loaded.cache:
        parts, weights = _read()
        ours = fingerprint(loaded)["weights"] == weights
        loaded.cache["reader"] = _placed(loaded, parts) if ours else []
    return loaded.cache["reader"]


def _placed(loaded: LoadedModel, parts: dict[str, Tensor]) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Each change beside the layer that it belongs to: "10.self_attn.q_proj" of the decoder's layers."""
    layers, found = decoder_layers(loaded.model), []
    for name in sorted({key.rpartition(".")[0] for key in parts}):
        number, _, path = name.partition(".")
        down, up = (parts[f"{name}.{part}"].to(loaded.device) for part in ("down", "up"))
        found.append((layers[int(number)].get_submodule(path), down, up))
    return found


@functools.cache
def _read() -> tuple[dict[str, Tensor], str]:
    from safetensors import safe_open

    with safe_open(READER, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata()["weights"]  # noqa: SIM118
