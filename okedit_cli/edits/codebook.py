"""The codebook: keys, radii and values of many edits as stacked tensors.

An edit fires where one of its picture keys lies within its picture radius and one of its question keys
within its question radius; among those that fire the nearest wins (BalancEdit, ICML 2025, section 4, with
the scope judged in two channels instead of one). A value is a low-rank affine change added to the site's
output: `value_up.T @ (value_down @ x) + value_bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

from okedit_cli.errors import InvalidBundle

CHUNK = 1 << 22  # floats of one block of distances: bounds the memory of matching


@dataclass(frozen=True)
class Match:
    """The edit nearest to a prompt: its row, distance and radius in each channel, and whether it fires."""

    edit: int
    picture_distance: float
    picture_radius: float
    question_distance: float
    question_radius: float

    @property
    def reach(self) -> float:
        """The larger of distance / radius over the channels; the edit fires where it is at most 1."""
        return max(
            _ratio(self.picture_distance, self.picture_radius),
            _ratio(self.question_distance, self.question_radius),
        )

    @property
    def fires(self) -> bool:
        """Whether the prompt is inside the edit's scope."""
        return self.reach <= 1.0


def _ratio(distance: float, radius: float) -> float:
    if radius == float("inf"):
        return 0.0
    return distance / radius if radius > 0 else float("inf")


@dataclass(eq=False)
class Codebook:
    """N edits. Spaces: `projection` maps a centred feature [d] to a key space [r] where Euclidean distance
    is judged.

    picture_mean [dp], picture_projection [dp, rp], question_mean [dq], question_projection [dq, rq];
    picture_keys [Kp, rp] with picture_owner [Kp] (an edit may have several keys, or none when its picture
    channel is open), question_keys [Kq, rq] with question_owner [Kq]; picture_radius, question_radius [N]
    (inf: channel open); value_down, value_up [N, rank, d], value_bias [N, d].
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

    def __len__(self) -> int:
        return len(self.picture_radius)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every field by name, as it is written to a bundle."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Codebook:
        """A codebook from named tensors; InvalidBundle names the tensor that is missing or has another
        shape.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise InvalidBundle(f"the codebook lacks the tensor {missing[0]!r}", hint="make the bundle again")
        book = cls(**{name: tensors[name] for name in names})
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
        for name in ("picture_owner", "question_owner"):
            owner = getattr(self, name)
            if owner.dtype != torch.int64 or (
                len(owner) and not 0 <= int(owner.min()) <= int(owner.max()) < len(self)
            ):
                raise InvalidBundle(
                    f"tensor {name!r} must hold int64 rows of the {len(self)} edits",
                    hint="make the bundle again",
                )

    def project_picture(self, feature: torch.Tensor) -> torch.Tensor:
        """Picture feature [..., dp or more] -> key space [..., rp]; what the space lacks is left out."""
        known = feature[..., : len(self.picture_mean)].float()
        return (known - self.picture_mean.float()) @ self.picture_projection.float()

    def project_question(self, feature: torch.Tensor) -> torch.Tensor:
        """Question feature [..., dq] -> key space [..., rq]."""
        return (feature.float() - self.question_mean.float()) @ self.question_projection.float()

    def match(
        self, picture: torch.Tensor | None, question: torch.Tensor, strictness: float = 0.5
    ) -> Match | None:
        """The edit with the smallest reach for one prompt: picture feature [dp] (None: no picture),
        question [dq].

        `strictness` scales every radius by 1.5 - strictness: 0.5 is as fitted, 1 halves the reach, 0 makes
        it half as large again.
        """
        if len(self) == 0:
            return None
        scale = 1.5 - strictness
        asked = self._nearest(self.question_keys, self.question_owner, self.project_question(question))
        shown = torch.full((len(self),), float("inf"))
        if picture is not None and len(self.picture_keys):
            shown = self._nearest(self.picture_keys, self.picture_owner, self.project_picture(picture))
        radii = self.picture_radius.float() * scale, self.question_radius.float() * scale
        ratios = []
        for distance, radius in zip((shown, asked), radii, strict=True):
            ratio = torch.where(radius > 0, distance / radius, torch.inf)
            ratios.append(torch.where(torch.isinf(radius), 0.0, ratio))
        best = int(torch.maximum(*ratios).nan_to_num(torch.inf).argmin())
        return Match(
            best, float(shown[best]), float(radii[0][best]), float(asked[best]), float(radii[1][best])
        )

    def _nearest(self, keys: torch.Tensor, owner: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """Each edit's smallest distance [N] from its keys to a point [r]; inf for an edit without keys."""
        out = torch.full((len(self),), float("inf"))
        step = max(1, CHUNK // max(1, keys.shape[1]))
        point = point.to("cpu", torch.float32)
        for start in range(0, len(keys), step):
            distance = torch.linalg.vector_norm(keys[start : start + step].float() - point, dim=1)
            out.scatter_reduce_(0, owner[start : start + step], distance, "amin")
        return out
