"""The codebook: keys, radii and values of many edits as stacked tensors (BalancEdit, ICML 2025, section 4).

Keys of pictures and of questions, each edit's radius in both channels, and its value: a low-rank affine
change added to the site's output, `value_up.T @ (value_down @ x) + value_bias`. Not here: which edit a
query is in (scope/router.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from okedit_cli.edits.base import EditSet
from okedit_cli.errors import InvalidBundle

CHUNK = 1 << 22  # floats of one block of distances: bounds the memory of matching
NEAR = 64  # keys whose distances are computed again one by one, free of the rounding of a product
VIEWS = ("thumbnails", "thumbnail_owner")  # fields that a bundle may lack
LAYER = "value_layer"  # the same


@dataclass(eq=False)
class Codebook(EditSet):
    """N edits. Spaces: `projection` maps a centred feature [d] to a key space [r] where Euclidean distance
    is judged; with no rows at all (d = 0) the feature is the key.

    picture_mean [dp], picture_projection [dp, rp], question_mean [dq], question_projection [dq, rq];
    picture_keys [Kp, rp] with picture_owner [Kp] (an edit may have several keys, or none when its picture
    channel is open), question_keys [Kq, rq] with question_owner [Kq]; picture_radius, question_radius [N]
    (inf: channel open); value_down, value_up [N, rank, d], value_bias [N, d]; thumbnails [T, t] uint8 with
    thumbnail_owner [T]: an edit's pictures, small, as JPEG files filled up with zeros (scope/views.py);
    value_layer [N] int64: the decoder layer of each value, where they are not all at the site's.
    """

    picture_mean: torch.Tensor
    picture_projection: torch.Tensor
    question_mean: torch.Tensor
    question_projection: torch.Tensor
    picture_keys: torch.Tensor
    picture_owner: torch.Tensor
    question_keys: torch.Tensor
    question_owner: torch.Tensor
    picture_radius: torch.Tensor
    question_radius: torch.Tensor
    value_down: torch.Tensor
    value_up: torch.Tensor
    value_bias: torch.Tensor
    thumbnails: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.uint8))
    thumbnail_owner: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    value_layer: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    kind = "codebook"
    gated = True

    def __len__(self) -> int:
        return len(self.picture_radius)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every field by name, as it is written to a bundle; thumbnails and layers where there are any."""
        absent = {*(() if len(self.thumbnails) else VIEWS), *(() if len(self.value_layer) else (LAYER,))}
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in absent}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Codebook:
        """A codebook from named tensors; InvalidBundle names the tensor that is missing or has another
        shape.
        """
        names = [one.name for one in fields(cls)]
        optional = (LAYER,) if any(name in tensors for name in VIEWS) else (*VIEWS, LAYER)
        missing = [name for name in names if name not in tensors and name not in optional]
        if missing:
            raise InvalidBundle(f"the codebook lacks the tensor {missing[0]!r}", hint="make the bundle again")
        book = cls(**{name: tensors[name] for name in names if name in tensors})
        book._check()
        return book

    def _check(self) -> None:
        sizes: dict[str, int] = {}
        shapes = {
            "picture_mean": ("dp",),
            "picture_projection": ("dp", "rp"),
            "question_mean": ("dq",),
            "question_projection": ("dq", "rq"),
            "picture_keys": ("Kp", "rp"),
            "picture_owner": ("Kp",),
            "question_keys": ("Kq", "rq"),
            "question_owner": ("Kq",),
            "picture_radius": ("N",),
            "question_radius": ("N",),
            "value_down": ("N", "rank", "d"),
            "value_up": ("N", "rank", "d"),
            "value_bias": ("N", "d"),
            "thumbnails": ("T", "t"),
            "thumbnail_owner": ("T",),
            **({LAYER: ("N",)} if self.value_layer.numel() else {}),
        }
        for name, letters in shapes.items():
            shape = tuple(getattr(self, name).shape)
            if len(shape) != len(letters):
                raise InvalidBundle(
                    f"tensor {name!r} has shape {list(shape)}, expected {len(letters)} dimensions",
                    hint="make the bundle again",
                )
            for letter, size in zip(letters, shape, strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise InvalidBundle(
                        f"tensor {name!r} has shape {list(shape)}, but {letter} is {sizes[letter]} elsewhere",
                        hint="make the bundle again",
                    )
        if self.thumbnails.dtype != torch.uint8:
            raise InvalidBundle(
                f"tensor 'thumbnails' has dtype {self.thumbnails.dtype}, expected uint8",
                hint="make the bundle again",
            )
        for name in ("picture_owner", "question_owner", "thumbnail_owner"):
            owner = getattr(self, name)
            if owner.dtype != torch.int64 or (
                len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < len(self)
            ):
                raise InvalidBundle(
                    f"tensor {name!r} must hold int64 rows of the {len(self)} edits",
                    hint="make the bundle again",
                )

        if self.value_layer.dtype != torch.int64 or bool((self.value_layer < 0).any()):
            raise InvalidBundle(
                f"tensor {LAYER!r} must hold int64 numbers of decoder layers", hint="make the bundle again"
            )

    def layer_of(self, row: int, site: Mapping[str, Any]) -> int:
        """The decoder layer where an edit's value acts: its own, or that of the manifest's site."""
        return int(self.value_layer[row]) if len(self.value_layer) else site["value_layer"]

    def layers(self, site: Mapping[str, Any]) -> set[int]:
        """Every layer where a value acts."""
        if "value_layer" in site and not len(self.value_layer):
            return {site["value_layer"]}
        return set(self.value_layer.tolist())

    def project_picture(self, feature: torch.Tensor) -> torch.Tensor:
        """Picture feature [..., dp] -> key space [..., rp]."""
        return _projected(feature, self.picture_mean, self.picture_projection)

    def project_question(self, feature: torch.Tensor) -> torch.Tensor:
        """Question feature [..., dq] -> key space [..., rq]."""
        return _projected(feature, self.question_mean, self.question_projection)

    def picture_distances(self, feature: torch.Tensor) -> torch.Tensor:
        """Each edit's smallest distance [N] from its picture keys to a picture feature [dp]; inf without
        keys.
        """
        return self.picture_key_distances(self.project_picture(feature))

    def picture_key_distances(self, key: torch.Tensor) -> torch.Tensor:
        """The same to a picture's key [rp], as another edit or a reference picture has it."""
        return self._distances(self.picture_keys, self.picture_owner, key)

    def question_distances(self, feature: torch.Tensor) -> torch.Tensor:
        """The same of question keys and a question feature [dq]."""
        return self._distances(self.question_keys, self.question_owner, self.project_question(feature))

    def _distances(self, keys: torch.Tensor, owner: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """By one product over all keys, then the nearest again exactly: a product rounds near 0."""
        out = torch.full((len(self),), float("inf"))
        if not len(keys):
            return out
        point, squares = point.to("cpu", torch.float32), torch.empty(len(keys))
        lengths, step = self._lengths_of(keys), max(1, CHUNK // keys.shape[1])
        for start in range(0, len(keys), step):
            here = slice(start, start + step)
            squares[here] = lengths[here] - 2 * (keys[here].float() @ point)
        near = squares.topk(min(NEAR, len(keys)), largest=False).indices
        found = (squares + point @ point).clamp_min(0).sqrt()
        found[near] = torch.linalg.vector_norm(keys[near].float() - point, dim=1)
        return out.scatter_reduce_(0, owner, found, "amin")

    def _lengths_of(self, keys: torch.Tensor) -> torch.Tensor:
        """Squared lengths [K] of keys, computed once: reading 100,000 keys takes longer than all else."""
        known = self.__dict__.setdefault("_lengths", {})
        held, lengths = known.get(id(keys), (None, None))
        if held is not keys:
            step = max(1, CHUNK // keys.shape[1])
            lengths = torch.cat([part.float().square().sum(1) for part in keys.split(step)])
            known[id(keys)] = keys, lengths
        return lengths


def _projected(feature: torch.Tensor, mean: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
    return feature.float() if not len(mean) else (feature.float() - mean.float()) @ projection.float()
