"""The codebook: keys, radii and values of many edits as stacked tensors.

An edit fires where one of its picture keys lies within its picture radius and one of its question keys
within its question radius; among those that fire the one wins that the prompt is deepest inside of (the
nearest in BalancEdit, ICML 2025, section 4, whose scope is judged in one channel instead of two). A value is
a low-rank affine change added to the site's output: `value_up.T @ (value_down @ x) + value_bias`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch

from okedit_cli.errors import InvalidBundle

CHUNK = 1 << 22  # floats of one block of distances: bounds the memory of matching
THUMBNAILS = ("thumbnails", "thumbnail_owner")  # fields that a bundle may lack
WORDS = 0.25  # what depth in the question channel counts beside depth in the picture channel


@dataclass(frozen=True)
class Match:
    """The edit that answers a prompt, or comes nearest: its row, distance and radius in each channel."""

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


def winner(picture: tuple[torch.Tensor, torch.Tensor], question: tuple[torch.Tensor, torch.Tensor]) -> int:
    """Which of n edits answers a prompt, from (distance [n], radius [n]) in each channel; where none fires,
    which comes nearest.

    Of edits that fire the one whose balls the prompt is deepest inside of: radius^2 - distance^2, as in a
    power diagram, in parts of the longest radius there. Who asks about an edit's own picture in other words
    means that edit, and not one whose wording is nearer and whose picture is another; so pictures count more.
    """
    reach = torch.maximum(*(ratios(*channel) for channel in (picture, question)))
    fires = reach <= 1.0
    if not bool(fires.any()):
        return int(reach.argmin())
    depth = _depth(*picture, fires) + WORDS * _depth(*question, fires)
    return int(torch.where(fires, depth, -torch.inf).argmax())


def best_of(matches: Sequence[Match]) -> int:
    """Which of several codebooks' matches answers; their spaces are taken to have one scale."""
    rows = [(m.picture_distance, m.picture_radius, m.question_distance, m.question_radius) for m in matches]
    numbers = torch.tensor(rows, dtype=torch.float64).T
    return winner((numbers[0], numbers[1]), (numbers[2], numbers[3]))


def ratios(distance: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Distances [n] in radii [n]: 0 where a channel is open, beyond 1 where it is closed to everything."""
    ratio = torch.where(radius > 0, distance / radius, torch.inf).nan_to_num(torch.inf)
    return torch.where(torch.isinf(radius), 0.0, ratio)


def _depth(distance: torch.Tensor, radius: torch.Tensor, fires: torch.Tensor) -> torch.Tensor:
    """How deep each point lies, 0 at the border and where a channel is open."""
    closed = torch.isfinite(radius)
    longest = torch.where(fires & closed, radius, 0.0).max().clamp_min(1e-30)
    return torch.where(closed, (radius / longest) ** 2 - (distance / longest) ** 2, 0.0)


def deepest(
    rows: torch.Tensor, shown: torch.Tensor, shown_radius: torch.Tensor, asked: torch.Tensor,
    asked_radius: torch.Tensor,
) -> list[Match]:  # fmt: skip
    """Edits `rows` [n] with distances and radii [n], by depth in the picture channel, then by question."""
    depth = shown_radius**2 - shown**2
    columns = (rows, shown, shown_radius, asked, asked_radius)
    found = [Match(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    order = sorted(range(len(found)), key=lambda i: (-float(depth[i]), found[i].question_distance))
    return [found[i] for i in order]


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
    (inf: channel open); value_down, value_up [N, rank, d], value_bias [N, d]; thumbnails [T, t] uint8 with
    thumbnail_owner [T], of edits about one individual: what is shown has to be another view of it
    (edits/alignment.py).
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

    def __len__(self) -> int:
        return len(self.picture_radius)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every field by name, as it is written to a bundle; thumbnails where there are any."""
        names = [one.name for one in fields(self) if len(self.thumbnails) or one.name not in THUMBNAILS]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Codebook:
        """A codebook from named tensors; InvalidBundle names the tensor that is missing or has another
        shape.
        """
        names = [one.name for one in fields(cls)]
        optional = () if any(name in tensors for name in THUMBNAILS) else THUMBNAILS
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
        if self.thumbnails.dtype != torch.uint8 or math.isqrt(sizes["t"]) ** 2 != sizes["t"]:
            raise InvalidBundle(
                f"tensor 'thumbnails' has dtype {self.thumbnails.dtype} and rows of {sizes['t']}, expected"
                " square pictures of uint8",
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

    def project_picture(self, feature: torch.Tensor) -> torch.Tensor:
        """Picture feature [..., dp or more] -> key space [..., rp]; what the space lacks is left out."""
        known = feature[..., : len(self.picture_mean)].float()
        return (known - self.picture_mean.float()) @ self.picture_projection.float()

    def project_question(self, feature: torch.Tensor) -> torch.Tensor:
        """Question feature [..., dq] -> key space [..., rq]."""
        return (feature.float() - self.question_mean.float()) @ self.question_projection.float()

    def match(
        self,
        picture: torch.Tensor | None,
        question: torch.Tensor,
        strictness: float = 0.5,
        passed: Collection[int] = (),
    ) -> Match | None:
        """The edit that answers one prompt, or comes nearest: picture feature [dp] (None: no picture),
        question [dq]. Edits `passed` do not answer.

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
        radii[1][list(passed)] = 0.0  # closed to everything
        best = winner((shown, radii[0]), (asked, radii[1]))
        return Match(
            best, float(shown[best]), float(radii[0][best]), float(asked[best]), float(radii[1][best])
        )

    def asked_of(self, rows: Sequence[int], question: torch.Tensor) -> torch.Tensor:
        """Distances [n] of a question [dq] from the nearest key of each of the edits `rows` [n]."""
        keys = torch.isin(self.question_owner, torch.tensor(list(rows), dtype=torch.int64))
        near = self._nearest(
            self.question_keys[keys], self.question_owner[keys], self.project_question(question)
        )
        return near[list(rows)]

    def holding(self, picture: torch.Tensor, question: torch.Tensor, strictness: float = 0.5) -> list[Match]:
        """The edits about pictures that a picture is inside of, whatever is asked: deepest first, and where
        that is the same, the nearest question first.
        """
        rows, shown, radius = self.showing(picture, strictness)
        if not len(rows):
            return []
        asked = self._nearest(self.question_keys, self.question_owner, self.project_question(question))[rows]
        reach = self.question_radius.float()[rows] * (1.5 - strictness)
        return deepest(rows, shown, radius, asked, reach)

    def showing(
        self, picture: torch.Tensor, strictness: float = 0.5
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows [n] of the edits about pictures that a picture is inside of, with distances and radii [n]."""
        shown = self._nearest(self.picture_keys, self.picture_owner, self.project_picture(picture))
        radius = self.picture_radius.float() * (1.5 - strictness)
        rows = ((ratios(shown, radius) <= 1.0) & torch.isfinite(radius)).nonzero()[:, 0]
        return rows, shown[rows], radius[rows]

    def _nearest(self, keys: torch.Tensor, owner: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """Each edit's smallest distance [N] from its keys to a point [r]; inf for an edit without keys."""
        out = torch.full((len(self),), float("inf"))
        step = max(1, CHUNK // max(1, keys.shape[1]))
        point = point.to("cpu", torch.float32)
        for start in range(0, len(keys), step):
            distance = torch.linalg.vector_norm(keys[start : start + step].float() - point, dim=1)
            out.scatter_reduce_(0, owner[start : start + step], distance, "amin")
        return out
