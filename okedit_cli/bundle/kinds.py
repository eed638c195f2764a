"""Kinds of edit sets by the tensors that a file of each kind holds. No torch: headers are read without it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.errors import InvalidBundle

if TYPE_CHECKING:
    from okedit_cli.edits.base import EditSet

CODEBOOK = (
    "picture_mean",
    "picture_projection",
    "question_mean",
    "question_projection",
    "picture_keys",
    "picture_owner",
    "question_keys",
    "question_owner",
    "picture_radius",
    "question_radius",
    "value_down",
    "value_up",
    "value_bias",
)
THUMBNAILS = ("thumbnails", "thumbnail_owner")  # of the codebook, of edits about pictures
LAYER = "value_layer"  # of the codebook, of edits that act at layers of their own
MEMORY = ("memory.keys", "memory.picture_keys", "memory.picture_owner", "memory.confirm")
COUNTERFACTUAL = ("counterfactual.keys", "counterfactual.picture_keys", "counterfactual.picture_owner")


@dataclass(frozen=True)
class Kind:
    """`required` tensors, further ones by name or by their `prefix`, and where the class is."""

    words: str
    where: str
    required: tuple[str, ...]
    further: tuple[str, ...] = ()
    prefix: str = ""

    def owns(self, name: str) -> bool:
        """Whether a tensor of this name is the edit set's own."""
        return (
            name in self.required
            or name in self.further
            or bool(self.prefix and name.startswith(self.prefix))
        )

    def of(self) -> type[EditSet]:
        """The class of such edit sets."""
        module, name = self.where.split(":")
        return getattr(importlib.import_module(module), name)


KINDS = {
    "codebook": Kind("a codebook", "okedit_cli.edits.codebook:Codebook", CODEBOOK, (*THUMBNAILS, LAYER)),
    "delta": Kind("a weight delta", "okedit_cli.edits.delta:Delta", ("delta.count",), prefix="delta."),
    "memory": Kind("a text memory", "okedit_cli.edits.memory:Memory", MEMORY),
    "counterfactual": Kind(
        "a counterfactual memory",
        "okedit_cli.edits.counterfactual:Counterfactual",
        COUNTERFACTUAL,
        prefix="counterfactual.",
    ),
}


def kind_named(name: str, shown: str) -> Kind:
    """The kind of a bundle; InvalidBundle for one that this okedit does not know."""
    if name not in KINDS:
        raise InvalidBundle(
            f"{shown}: the bundle's kind is {name[:40]!r}, expected one of {', '.join(KINDS)}.",
            hint="Upgrade with `pip install -U okedit`.",
        )
    return KINDS[name]
