"""An edit set: the edits of one bundle, all of one kind, as tensors.

Four kinds. A codebook (codebook.py) holds keys, radii and values, and a router decides which edit answers a
query. A weight delta (delta.py) changes the model's weights for as long as it is attached. A text memory
(memory.py) puts facts into the prompt. A counterfactual memory (counterfactual.py) has a small model answer
in its scope. Not here: hooks and patched weights, which the session owns (session.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from okedit_cli.models.load import LoadedModel

REMAKE = "Make the bundle again with `okedit edit`."


class EditSet(ABC):
    """What every kind can do. `gated`: a query outside every edit's scope gets the base model's answer, bit
    by bit, and a verdict says so.
    """

    kind: ClassVar[str]
    gated: ClassVar[bool]

    @abstractmethod
    def __len__(self) -> int:
        """The number of edits."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor by the name it has in the file."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> EditSet:
        """An edit set from named tensors; InvalidBundle names the one that is missing or malformed."""

    def check(self, loaded: LoadedModel, site: Mapping[str, Any], shown: str) -> None:
        """InvalidBundle or ModelMismatch unless the edits can act on this model at the manifest's `site`."""
        return None
