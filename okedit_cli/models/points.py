"""Weight matrices by what they are: a decoder layer's index and a point in it, or a place in the connector.

Names of modules differ from family to family and from version to version; what is stored is "7.mlp_out".
Matrices are handled as [out, in], however the module keeps them (GPT-2's are the other way round).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.models.sites import decoder_layers, mlp_of

if TYPE_CHECKING:
    import torch
    from torch import nn

CONNECTOR = "connector"
# where a key is read, as a bundle says it: what a layer's feed-forward output map receives there
LAST_TOKEN = "feed-forward output map's input at the last prompt token"
_INSIDE = {  # of a decoder layer: the names that families give to it
    "mlp_out": ("down_proj", "fc2", "w2", "c_proj", "dense_4h_to_h", "fc_out"),
    "mlp_in": ("up_proj", "fc1", "w1", "c_fc", "dense_h_to_4h", "fc_in", "gate_up_proj"),
    "mlp_gate": ("gate_proj", "w3"),
    "q": ("q_proj", "query"),
    "k": ("k_proj", "key"),
    "v": ("v_proj", "value"),
    "qkv": ("c_attn", "qkv_proj", "query_key_value", "qkv"),
    "o": ("o_proj", "out_proj", "c_proj", "dense"),
}
POINTS = tuple(_INSIDE)
_MLP = ("mlp_out", "mlp_in", "mlp_gate")
_CONNECTORS = ("connector", "multi_modal_projector", "mm_projector", "language_projection", "projector")


@dataclass(frozen=True)
class Point:
    """`layer` and one of POINTS, or of the connector the number of its linear map (layer None)."""

    layer: int | None
    name: str

    def __str__(self) -> str:
        return f"{CONNECTOR}.{self.name}" if self.layer is None else f"{self.layer}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> Point | None:
        """A point from its name; None where it is none."""
        head, _, name = text.partition(".")
        if head == CONNECTOR and re.fullmatch(r"\d{1,3}", name, re.ASCII):
            return cls(None, name)
        if re.fullmatch(r"\d{1,4}", head, re.ASCII) and name in POINTS:
            return cls(int(head), name)
        return None


@dataclass(frozen=True, eq=False)
class Weight:
    """A module's weight; `turned` where it is kept as [in, out]."""

    module: nn.Module
    turned: bool

    @property
    def tensor(self) -> torch.Tensor:
        """The parameter as the module keeps it."""
        return self.module.weight

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        rows, columns = self.module.weight.shape
        return (columns, rows) if self.turned else (rows, columns)

    @property
    def kept(self) -> str:
        """Why the weight cannot be changed by adding to it: how it is kept. "" where it can."""
        if self.tensor.device.type == "meta":
            return "off-loaded"
        if not self.tensor.is_floating_point():
            return f"quantised ({str(self.tensor.dtype).removeprefix('torch.')})"
        return ""

    def matrix(self) -> torch.Tensor:
        """The values [out, in], fp32, a copy."""
        value = self.module.weight.detach().float()
        return (value.T if self.turned else value).clone()


def weight_at(model: nn.Module, point: Point) -> Weight | None:
    """The weight at a point; None where the model has none there."""
    if point.layer is None:
        found = connector_maps(model)
        return found[int(point.name)] if int(point.name) < len(found) else None
    layers = decoder_layers(model)
    return inside(layers[point.layer], point.name) if point.layer < len(layers) else None


def inside(layer: nn.Module, name: str) -> Weight | None:
    """The weight at one of POINTS of a decoder layer."""
    mlp = mlp_of(layer)
    part = mlp if name in _MLP else None
    for path, module in layer.named_modules():
        if path.split(".")[-1] not in _INSIDE[name] or not _is_map(module):
            continue
        of_mlp = module is mlp or any(module is one for one in mlp.modules()) or path in ("fc1", "fc2")
        if of_mlp == (part is not None):
            module = getattr(module, "base_layer", module)  # of a map that an adapter of peft stands beside
            return Weight(module, _is_turned(module))
    return None


def points_of(model: nn.Module, layer: int, names: tuple[str, ...]) -> Iterator[Point]:
    """Those of the named points that a layer has."""
    for name in names:
        if weight_at(model, Point(layer, name)) is not None:
            yield Point(layer, name)


def connector_maps(model: nn.Module) -> list[Weight]:
    """The linear maps between the vision tower and the decoder, in order; none of a text-only model."""
    for path, module in model.named_modules():
        if path.split(".")[-1] in _CONNECTORS:
            maps = [one for one in module.modules() if _is_map(one)]
            if maps:
                return [Weight(one, _is_turned(one)) for one in maps]
    return []


def _is_map(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return (
        weight is not None
        and weight.dim() == 2
        and hasattr(module, "forward")
        and "Norm" not in _kind(module)
    )


def _is_turned(module: nn.Module) -> bool:
    return _kind(module) == "Conv1D"


def _kind(module: nn.Module) -> str:
    return type(module).__name__
