"""Which of 100,000 edits may a prompt be inside of? A small sketch of the keys rules nearly all of them out.

A sketch of a key is its first principal coordinates and the length of what they leave over; no two keys are
farther apart there than they are. The keys of an edit lie in two balls of that space, whose centres are kept
in 8 bits. A point outside both, by the edit's radius, is outside the edit: what is left over is a superset of
the edits that fire, and their distances are computed exactly as the codebook does, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from okedit_cli.edits.codebook import Codebook, Match
from okedit_cli.errors import InvalidBundle

CHANNELS = ("picture", "question")
WIDTH = 64  # coordinates of a sketch
BALLS = 2  # of an edit
SAMPLE = 16384  # keys that the principal directions are taken from
BLOCK = 1 << 17  # keys handled at a time while building
TRIED = 512  # centres that the quick product is tried on
FEW = 8  # up to this part of all edits it is quicker to pick them out than to look at all
SLACK = 1e-4  # of the squares compared: rounding may let too many through, never too few
PARTS = ("mean", "basis", "step", "balls", "extent")


@dataclass(eq=False)
class Sketch:
    """One channel: mean [r], basis [r, w - 1], step [1], balls [2, N, w] int8, extent [2, N]; w <= 64."""

    mean: torch.Tensor
    basis: torch.Tensor
    step: torch.Tensor
    balls: torch.Tensor
    extent: torch.Tensor

    def __post_init__(self) -> None:
        self._flat = self.balls.reshape(-1, self.balls.shape[2])
        square = [some.float().square().sum(1) for some in self._flat.split(BLOCK)]
        # squared length of each centre [2, N]
        self._square = torch.cat(square).view(BALLS, -1) * ((1 - SLACK) * float(self.step) ** 2)
        self._multiply = _multiply_for(self._flat[:TRIED])

    def bounds(self, radius: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Of balls that reach `radius` [N] beyond their extent: reach^2 - |centre|^2 [2, N], and the longest
        reach that is not open.
        """
        reach = (self.extent + radius) * (1 + SLACK) ** 0.5
        finite = reach[reach.isfinite()]
        return reach.square() - self._square, float(finite.amax()) if len(finite) else 0.0

    def near(self, point: torch.Tensor, bounds: tuple[torch.Tensor, float], rows: torch.Tensor | None = None):
        """Mask over all edits, or over `rows`: False only where `point` [r] is out of reach of both balls."""
        edge, longest = bounds
        if rows is not None and len(rows) > edge.shape[1] // FEW:
            return self.near(point, bounds)[rows]
        place = self.coordinates(point[None])[0]
        step = max(float(place.abs().max()) / 127, 1e-30)
        code = (place / step).round().clamp(-127, 127).nan_to_num().to(torch.int8)
        missed = float(torch.linalg.vector_norm(place - step * code))  # what 8 bits leave out of the point
        square = step**2 * float(code.float().square().sum())
        if rows is None:
            product = self._multiply(self._flat, code)
        else:
            both = torch.cat([rows, rows + edge.shape[1]])
            edge = edge.view(-1).index_select(0, both).view(BALLS, -1)  # quicker than edge[:, rows]
            product = self._multiply(self._flat.index_select(0, both), code)
        # (reach + missed)^2 - |point - centre|^2; few sums, because each costs as much as the product
        room = torch.add(edge, product.view(BALLS, -1), alpha=2 * step * float(self.step))
        # NaN, of numbers past all bounds, rules nothing out
        beyond = torch.maximum(room[0], room[1]) < (1 - SLACK) * square - missed**2 - 2 * missed * longest
        return beyond.logical_not_()

    def coordinates(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys [k, r] -> sketches [k, w]: principal coordinates, and the length of the rest."""
        keys = keys.float() - self.mean
        first = keys @ self.basis
        rest = (keys.square().sum(1) - first.square().sum(1)).clamp(min=0).sqrt()
        return torch.cat([first, rest[:, None]], dim=1)


@dataclass(eq=False)
class Index:
    """A codebook and the sketches of both channels."""

    book: Codebook
    picture: Sketch
    question: Sketch

    def __post_init__(self) -> None:
        self._keys, self._radius = {}, {}
        for channel in CHANNELS:
            self._keys[channel] = _Places(getattr(self.book, f"{channel}_owner"), len(self.book))
            self._radius[channel] = getattr(self.book, f"{channel}_radius").float()
        self._open = torch.isinf(self._radius["picture"]).nonzero()[:, 0]
        self._bounds: dict[float, dict[str, tuple[torch.Tensor, float]]] = {}
        # the channel whose balls are small beside the distances between them rules out more: it comes first
        self._order = sorted(CHANNELS, key=self._crowding)

    @classmethod
    def build(cls, book: Codebook) -> Index:
        """An index of a codebook; reads every key once."""
        return cls(book, *(_sketch(book, channel) for channel in CHANNELS))

    @classmethod
    def from_tensors(cls, book: Codebook, tensors: Mapping[str, torch.Tensor]) -> Index:
        """An index as `tensors` gave it; InvalidBundle names the tensor that does not fit the codebook."""
        sketches = []
        for channel in CHANNELS:
            shapes = _shapes(book, channel)
            for part, (shape, dtype) in shapes.items():
                found = tensors.get(f"{channel}_sketch_{part}")
                if found is None or tuple(found.shape) != shape or found.dtype != dtype:
                    raise InvalidBundle(
                        f"tensor '{channel}_sketch_{part}' is missing or not {dtype} of shape {list(shape)}",
                        hint="make the bundle again",
                    )
            sketches.append(Sketch(*(tensors[f"{channel}_sketch_{part}"] for part in PARTS)))
        return cls(book, *sketches)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Both sketches by the names that they have in a bundle."""
        return {
            f"{channel}_sketch_{part}": getattr(getattr(self, channel), part)
            for channel in CHANNELS
            for part in PARTS
        }

    def candidates(
        self, picture: torch.Tensor | None, question: torch.Tensor, scale: float = 1.0
    ) -> torch.Tensor:
        """Rows in order, among them every edit whose scope holds the keys picture [rp] (None: no picture) and
        question [rq]; `scale` multiplies every radius.
        """
        points, bounds = {"picture": picture, "question": question}, self._bounds_at(scale)
        if picture is None:  # only edits whose picture channel is open
            return self._open[self.question.near(question, bounds["question"], self._open)]
        first, second = self._order
        rows = getattr(self, first).near(points[first], bounds[first]).nonzero()[:, 0]
        return rows[getattr(self, second).near(points[second], bounds[second], rows)]

    def _bounds_at(self, scale: float) -> dict[str, tuple[torch.Tensor, float]]:
        if scale not in self._bounds:
            self._bounds = {scale: {c: getattr(self, c).bounds(self._radius[c] * scale) for c in CHANNELS}}
        return self._bounds[scale]

    def _crowding(self, channel: str) -> float:
        """Mean square of the balls' reach, in mean squares of their centres; inf for an open channel."""
        sketch = getattr(self, channel)
        reach = (sketch.extent + self._radius[channel]).square().mean()
        return float((reach / sketch._square.mean().clamp(min=1e-30)).nan_to_num(torch.inf))

    def match(
        self, picture: torch.Tensor | None, question: torch.Tensor, strictness: float = 0.5
    ) -> Match | None:
        """What `Codebook.match` answers where an edit fires, and None where none does."""
        book, scale = self.book, 1.5 - strictness
        asked = book.project_question(question).to("cpu", torch.float32)
        shown = None
        if picture is not None and len(book.picture_keys):
            shown = book.project_picture(picture).to("cpu", torch.float32)
        rows = self.candidates(shown, asked, scale)
        radii = [self._radius[channel][rows] * scale for channel in CHANNELS]
        question_distance = self._distances("question", rows, asked)
        inside = _ratio(question_distance, radii[1]) <= 1 + SLACK  # the others need not be looked at
        rows, radii = rows[inside], [radius[inside] for radius in radii]
        question_distance = question_distance[inside]
        picture_distance = torch.full((len(rows),), float("inf"))
        if shown is not None:
            picture_distance = self._distances("picture", rows, shown)
        if not len(rows):
            return None
        reach = torch.maximum(_ratio(picture_distance, radii[0]), _ratio(question_distance, radii[1]))
        best = int(reach.nan_to_num(torch.inf).argmin())
        found = Match(
            int(rows[best]), float(picture_distance[best]), float(radii[0][best]),
            float(question_distance[best]), float(radii[1][best]),
        )  # fmt: skip
        return found if found.fires else None

    def _distances(self, channel: str, rows: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """Smallest distance [len(rows)] of each row's keys to a point; inf for a row without keys."""
        places, owner = self._keys[channel].of(rows)
        out = torch.full((len(rows),), float("inf"))
        if len(places):
            keys = getattr(self.book, f"{channel}_keys").index_select(0, places).float()
            out.scatter_reduce_(0, owner, torch.linalg.vector_norm(keys - point, dim=1), "amin")
        return out


class _Places:
    """Where the keys of each edit stand, for owners in any order."""

    def __init__(self, owner: torch.Tensor, edits: int) -> None:
        self.order = None if bool((owner[1:] >= owner[:-1]).all()) else torch.argsort(owner, stable=True)
        self.count = torch.bincount(owner, minlength=edits)
        self.first = self.count.cumsum(0) - self.count

    def of(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of the keys of `rows`, and for each the number in `rows` that it belongs to."""
        count = self.count[rows]
        number = torch.arange(len(rows)).repeat_interleave(count)
        place = torch.arange(len(number)) + (self.first[rows] - count.cumsum(0) + count)[number]
        return (place if self.order is None else self.order[place]), number


def _ratio(distance: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """As in Codebook.match."""
    ratio = torch.where(radius > 0, distance / radius, torch.inf)
    return torch.where(torch.isinf(radius), 0.0, ratio)


def _shapes(book: Codebook, channel: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    size = getattr(book, f"{channel}_keys").shape[1]
    width = min(size, WIDTH - 1) + 1
    return {"mean": ((size,), torch.float32), "basis": ((size, width - 1), torch.float32),
            "step": ((1,), torch.float32), "balls": ((BALLS, len(book), width), torch.int8),
            "extent": ((BALLS, len(book)), torch.float32)}  # fmt: skip


def _sketch(book: Codebook, channel: str) -> Sketch:
    keys, edits = getattr(book, f"{channel}_keys"), len(book)
    shapes = _shapes(book, channel)
    places = _Places(getattr(book, f"{channel}_owner"), edits)
    sample = keys[:: max(1, len(keys) // SAMPLE)].double()
    sample = sample[torch.isfinite(sample).all(1)]
    mean = sample.mean(0) if len(sample) else torch.zeros(keys.shape[1], dtype=torch.float64)
    _, vectors = torch.linalg.eigh((sample - mean).T @ (sample - mean))
    basis = vectors.flip(1)[:, : shapes["basis"][0][1]]
    balls, extent = (torch.zeros(shape, dtype=dtype) for shape, dtype in (shapes["balls"], shapes["extent"]))
    empty = torch.zeros(BALLS, edits, balls.shape[2], dtype=torch.int8)
    drawn = Sketch(mean.float(), basis.float().contiguous(), torch.ones(1), empty, extent)
    blocks = list(_blocks(places.count))
    biggest = 0.0
    for rows in blocks:
        biggest = max(biggest, float(drawn.coordinates(keys[places.of(rows)[0]]).abs().max()))
    step = torch.tensor([max(biggest / 127, 1e-30)])
    for rows in blocks:
        place, owner = places.of(rows)
        code, size = _two_balls(drawn.coordinates(keys[place]), owner, len(rows), float(step))
        balls[:, rows], extent[:, rows] = code, size
    return Sketch(drawn.mean, drawn.basis, step, balls, extent)


def _blocks(count: torch.Tensor):
    """Rows with keys, as many at a time as have about BLOCK keys together."""
    rows = (count > 0).nonzero()[:, 0]
    number = count[rows].cumsum(0) // BLOCK
    return rows.split(torch.unique_consecutive(number, return_counts=True)[1].tolist()) if len(rows) else ()


def _two_balls(keys: torch.Tensor, owner: torch.Tensor, edits: int, step: float):
    """Codes [2, edits, w] and extents [2, edits] of balls around the keys [k, w] nearest to an edit's first
    key, and around those nearest to the key farthest from it.
    """
    first = torch.full((edits,), len(keys)).scatter_reduce_(0, owner, torch.arange(len(keys)), "amin")
    away = torch.linalg.vector_norm(keys - keys[first][owner], dim=1)
    farthest = torch.zeros(edits).scatter_reduce_(0, owner, away, "amax")
    places = torch.where(away == farthest[owner], torch.arange(len(keys)), len(keys) - 1)
    other = torch.full((edits,), len(keys) - 1).scatter_reduce_(0, owner, places, "amin")
    group = owner + edits * (torch.linalg.vector_norm(keys - keys[other][owner], dim=1) < away)
    count = torch.bincount(group, minlength=BALLS * edits)
    centre = torch.zeros(BALLS * edits, keys.shape[1]).index_add_(0, group, keys)
    centre /= count.clamp(min=1)[:, None]
    alone = count[edits:] == 0  # one key, or all alike: both balls are the same
    centre[edits:][alone] = centre[:edits][alone]
    code = (centre / step).round().clamp(-127, 127).nan_to_num().to(torch.int8)
    apart = torch.linalg.vector_norm(keys - step * code[group], dim=1)
    extent = torch.zeros(BALLS * edits).scatter_reduce_(0, group, apart, "amax")
    extent[edits:][alone] = extent[:edits][alone]
    return code.view(BALLS, edits, -1), extent.view(BALLS, edits)


def _slow(codes: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
    return torch.cat([some.float() @ code.float() for some in codes.split(BLOCK)])


def _quick(codes: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(codes, code[:, None])[:, 0] if len(codes) > 1 else _slow(codes, code)


def _multiply_for(codes: torch.Tensor):
    """A function (codes [n, w] int8, code [w] int8) -> exact products [n]: the quick one where it works.

    Not every build has it for the CPU, so it is tried before it is trusted.
    """
    trial = torch.arange(codes.shape[1], dtype=torch.int8) - 3
    try:
        return _quick if torch.equal(_quick(codes, trial).float(), _slow(codes, trial)) else _slow
    except (RuntimeError, TypeError, AttributeError, NotImplementedError):
        return _slow
