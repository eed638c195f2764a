"""A weight delta: changes of named weight matrices, low-rank or whole, for all edits of a bundle at once.

W' = W + up^T down, or W + full. A site is a decoder layer's index and a point inside it, or a place in the
connector (models/points.py), never a module's path, which libraries rename. Installed and taken off by the
session, which keeps the original tensors: what is detached is the very same weight, bit by bit. A delta of
one matrix may have a gate: it then acts for those queries alone whose activation passes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.base import REMAKE, EditSet
from okedit_cli.errors import InvalidBundle, ModelMismatch
from okedit_cli.models.points import Point, weight_at

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

PREFIX = "delta."
GATE = (f"{PREFIX}gate.keys", f"{PREFIX}gate.ratio")
KEPT = 1e-7  # of the largest singular value: what `low_rank` leaves out


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to one weight [out, in]: up^T down with down [r, in] and up [r, out], or `full`."""

    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    full: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return tuple(self.full.shape) if self.full is not None else (self.up.shape[1], self.down.shape[1])

    def whole(self) -> torch.Tensor:
        """The change [out, in], fp32."""
        return self.full.float() if self.full is not None else self.up.float().T @ self.down.float()

    @classmethod
    def of(cls, whole: torch.Tensor) -> Change:
        """The smaller form of a change [out, in]: by its singular directions where they are few."""
        left, size, right = torch.linalg.svd(whole.float(), full_matrices=False)
        rank = int((size > KEPT * size[0]).sum()) if float(size[0]) > 0 else 1
        if rank * sum(whole.shape) >= whole.numel():
            return cls(full=whole)
        return cls(down=right[:rank].contiguous(), up=(left[:, :rank] * size[:rank]).T.contiguous())


@dataclass(frozen=True, eq=False)
class Gate:
    """WISE's routing of queries to a changed map: by how far the change moves the map's output at a prompt's
    last token, |x dW^T|, against the smallest such activation of the edits.

    keys [N, in]: what the map received at the last prompt token of each edit; `ratio`: the share of the
    smallest activation from which on a query is routed to the change.
    """

    keys: torch.Tensor
    ratio: float


@dataclass(eq=False)
class Delta(EditSet):
    """`changes` by the site's name ("7.mlp_out"); `count` edits share them. `gate`: of one change alone."""

    changes: dict[str, Change] = field(default_factory=dict)
    count: int = 0
    gate: Gate | None = None

    kind = "delta"

    @property
    def gated(self) -> bool:
        """Whether it acts for some queries only."""
        return self.gate is not None

    def __len__(self) -> int:
        return self.count

    def tensors(self) -> dict[str, torch.Tensor]:
        """`delta.SITE.down`, `.up` or `.full` of each site, `delta.count` [1], and of a gate
        `delta.gate.keys` [N, in] and `delta.gate.ratio` [1].
        """
        out = {f"{PREFIX}count": torch.tensor([self.count])}
        if self.gate is not None:
            out |= dict(zip(GATE, (self.gate.keys, torch.tensor([self.gate.ratio])), strict=True))
        for site, change in self.changes.items():
            for part in ("down", "up", "full"):
                if (tensor := getattr(change, part)) is not None:
                    out[f"{PREFIX}{site}.{part}"] = tensor
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Delta:
        """A delta from its tensors; InvalidBundle for a name or a shape that no delta has."""
        parts: dict[str, dict[str, torch.Tensor]] = {}
        count = tensors.get(f"{PREFIX}count")
        if count is None or count.numel() != 1 or count.is_floating_point() or int(count) < 0:
            raise InvalidBundle("the delta lacks the tensor 'delta.count'", hint=REMAKE)
        for name, tensor in tensors.items():
            if name in (f"{PREFIX}count", *GATE):
                continue
            found = re.fullmatch(rf"{re.escape(PREFIX)}([\w.]+)\.(down|up|full)", name)
            if found is None or Point.parse(found[1]) is None:
                raise InvalidBundle(f"tensor {name[:80]!r} is at no site that okedit knows", hint=REMAKE)
            if tensor.dim() != 2 or not tensor.is_floating_point():
                raise InvalidBundle(
                    f"tensor {name[:80]!r} has shape {list(tensor.shape)}, expected a matrix", hint=REMAKE
                )
            parts.setdefault(found[1], {})[found[2]] = tensor
        for site, found in parts.items():
            pair = "down" in found and "up" in found and len(found["down"]) == len(found["up"])
            if set(found) not in ({"full"}, {"down", "up"}) or not ("full" in found or pair):
                raise InvalidBundle(
                    f"the tensors of {site!r} are {', '.join(sorted(found))}, expected full, or down and up"
                    " of one rank",
                    hint=REMAKE,
                )
        changes = {site: Change(**found) for site, found in parts.items()}
        return cls(changes, int(count), _gate(tensors, changes, int(count)))

    def check(self, loaded: LoadedModel, site: Mapping[str, Any], shown: str) -> None:
        """Every site must be there, of the change's shape and in floating point; the weights those that were
        changed, where the bundle says which.
        """
        known = site.get("weights") if isinstance(site.get("weights"), Mapping) else {}
        for name, change in self.changes.items():
            parts = [part for part in (change.down, change.up, change.full) if part is not None]
            if not all(bool(torch.isfinite(part).all()) for part in parts):
                raise InvalidBundle(
                    f"{shown}: the change of {name} holds values that are not finite numbers.", hint=REMAKE
                )
            weight = weight_at(loaded.model, Point.parse(name))
            if weight is None:
                raise ModelMismatch(
                    f"{shown}: the model has no {name}.", hint="Use the model that the bundle names."
                )
            if weight.kept:
                raise ModelMismatch(
                    f"{shown}: {name} is {weight.kept}, and a weight delta can only be added to floating"
                    " point weights that are in memory.",
                    hint="Load the model in bf16 or fp32 with that layer on a device, or use a codebook"
                    " method such as balancedit.",
                )
            if weight.shape != change.shape:
                raise InvalidBundle(
                    f"{shown}: the change of {name} is {list(change.shape)}, the weight is"
                    f" {list(weight.shape)}.",
                    hint=REMAKE,
                )
            if name in known and known[name] != (found := content(weight.tensor)):
                raise ModelMismatch(
                    f"{shown}: the weights at {name} are not those that were changed: {found[:12]}, expected"
                    f" {str(known[name])[:12]}.",
                    hint="Use the very checkpoint and dtype that the bundle names, or make the edits again.",
                )


def _gate(tensors: Mapping[str, torch.Tensor], changes: Mapping[str, Change], count: int) -> Gate | None:
    """The gate among a delta's tensors, if it has one; InvalidBundle for one that cannot be."""
    if not any(name in tensors for name in GATE):
        return None
    keys, ratio = (tensors.get(name) for name in GATE)
    point = Point.parse(next(iter(changes), ""))
    if len(changes) != 1 or point.layer is None or point.name != "mlp_out":
        raise InvalidBundle(
            "a gated delta changes one feed-forward output map, and this one has"
            f" {', '.join(changes) or 'no change'}",
            hint=REMAKE,
        )
    width = next(iter(changes.values())).shape[1]
    if keys is None or keys.shape != (count, width) or not keys.is_floating_point():
        raise InvalidBundle(f"tensor {GATE[0]!r} is not [{count}, {width}] numbers", hint=REMAKE)
    if ratio is None or ratio.shape != (1,) or not 0 < float(ratio) < float("inf"):
        raise InvalidBundle(f"tensor {GATE[1]!r} is not one positive number", hint=REMAKE)
    return Gate(keys, float(ratio))


def content(weight: torch.Tensor) -> str:
    """sha256 of a weight's values in fp32, so that it does not depend on how they are stored."""
    data = weight.detach().float().cpu().contiguous()
    return hashlib.sha256(data.view(torch.uint8).numpy().tobytes()).hexdigest()
