"""A sketch of the keys of one channel: what rules out most edits for a prompt without reading their keys.

A sketch of a key is its first principal coordinates and the length of what they leave over; no two keys are
farther apart there than they are. The keys of an edit lie in a few balls of that space, whose centres are
kept in 8 bits. A point outside all of them, by the edit's radius, is outside the edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mode

import numpy as np
import torch

from okedit_cli.edits.balls import extents, parted, too_large
from okedit_cli.errors import InvalidBundle

WIDTH = 64  # coordinates of a sketch
SHORT = 40  # of them are looked at first: they rule out nearly all
SAMPLE = 16384  # keys that the principal directions are taken from
BLOCK = 1 << 17  # keys handled at a time while building
MANY = 1 << 16  # balls from which on threads gain more than they cost
TRIED = 512  # centres that the quick product is tried on
FEW = 8  # up to this part of all edits it is quicker to pick them out than to look at all
HUGE = 1e30  # past it squares of float32 have no bounds
SLACK = 1e-4  # of the squares compared: rounding may let too many through, never too few
PARTS = ("mean", "basis", "step", "centres", "extent", "owner")
TWO = ("mean", "basis", "step", "balls", "extent")  # as written first: two balls of each edit


@dataclass(eq=False)
class Sketch:
    """mean [r], basis [r, w - 1], step [1]; of G balls: centres [G, w] int8, extent [G] and owner [G]."""

    mean: torch.Tensor
    basis: torch.Tensor
    step: torch.Tensor
    centres: torch.Tensor
    extent: torch.Tensor
    owner: torch.Tensor
    edits: int

    def __post_init__(self) -> None:
        self._short = self.centres[:, :SHORT].contiguous()
        # squared length of each centre, and of its first coordinates [G]
        self._square, self._short_square = (
            torch.cat([some.float().square().sum(1) for some in codes.split(BLOCK)])
            * ((1 - SLACK) * float(self.step) ** 2)
            for codes in (self.centres, self._short)
        )
        self._places = Places(self.owner, self.edits)
        self._owner = self.owner.numpy()
        self._multiply = _multiply_for(self.centres[:TRIED])

    def bounds(self, radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Of balls that reach `radius` [N] beyond their extent: reach^2 - |centre|^2 [G], by all and then
        by the first coordinates, and the longest of the reaches that are not open.
        """
        reach = (self.extent + radius[self.owner]) * (1 + SLACK) ** 0.5
        finite = reach[reach.isfinite()]
        square, longest = reach.square(), float(finite.amax()) if len(finite) else 0.0
        return square - self._square, square - self._short_square, longest

    def crowding(self, radius: torch.Tensor) -> float:
        """Mean square of the balls' reach, in mean squares of their centres; inf for an open channel."""
        reach = (self.extent + radius[self.owner]).square().mean()
        return float((reach / self._square.mean().clamp(min=1e-30)).nan_to_num(torch.inf))

    def near(
        self,
        point: torch.Tensor,
        bounds: tuple[torch.Tensor, torch.Tensor, float],
        rows: torch.Tensor | None = None,
        many: int = 1,
    ) -> torch.Tensor:
        """Edits [n] in order, of all or of `rows`, without those none of whose balls reaches `point` [r].

        `many` threads share what is long enough to be shared.
        """
        edge, short_edge, longest = bounds
        place = self.coordinates(point[None])[0]
        few = rows is not None and len(rows) * FEW <= self.edits
        if few:
            balls, number = self._places.of(rows)
        else:  # their first coordinates lie closer together in memory
            balls = torch.from_numpy(self._reached(self._short, short_edge, place[:SHORT], longest, many))
        found = self._reached(self.centres.index_select(0, balls), edge[balls], place, longest, many)
        if few:
            return rows[torch.from_numpy(np.unique(number.numpy()[found]))]
        mine = torch.from_numpy(np.unique(self._owner[balls.numpy()[found]]))
        return mine if rows is None else mine[torch.isin(mine, rows, assume_unique=True)]

    def _reached(
        self, centres: torch.Tensor, edge: torch.Tensor, place: torch.Tensor, longest: float, many: int
    ) -> np.ndarray:
        """Which of these balls [n] reach a place [w] of the sketches' space; for many, by `many` threads."""
        exact = np.nan_to_num(place.numpy(), nan=np.inf)  # past all bounds is what NaN comes from
        step = max(float(np.abs(exact).max()) / 127, 1e-30)
        if not step < HUGE:
            return np.arange(len(edge))
        code = np.clip(np.rint(exact / step), -127, 127)
        missed = float(np.linalg.norm(exact - step * code))  # what 8 bits leave out of the place
        square, scale = step**2 * float(code @ code), 2 * step * float(self.step)
        if not scale < HUGE:
            return np.arange(len(edge))
        # (reach + missed)^2 - |place - centre|^2; few sums, because each costs as much as the product
        with threads(many if len(edge) >= MANY else 1):
            product = self._multiply(centres, torch.from_numpy(code.astype(np.int8)))
            room = torch.add(edge, product, alpha=scale).numpy()
        # NaN, of numbers past all bounds, rules nothing out
        return np.flatnonzero(~(room < (1 - SLACK) * square - missed**2 - 2 * missed * longest))

    def coordinates(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys [k, r] -> sketches [k, w]: principal coordinates, and the length of the rest."""
        keys = keys.float() - self.mean
        first = keys @ self.basis
        # not from the squares: of large numbers that are nearly equal little would be left that is true
        rest = torch.linalg.vector_norm(keys - first @ self.basis.T, dim=1, keepdim=True)
        return torch.cat([first, rest], dim=1)

    def tensors(self, channel: str) -> dict[str, torch.Tensor]:
        """As a bundle holds them."""
        return {f"{channel}_cover_{part}": getattr(self, part) for part in PARTS}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Places:
    """Where the keys, or balls, of each edit stand, for owners in any order."""

    def __init__(self, owner: torch.Tensor, edits: int) -> None:
        self.order = None if bool((owner[1:] >= owner[:-1]).all()) else torch.argsort(owner, stable=True)
        self.count = torch.bincount(owner, minlength=edits)
        self.first = self.count.cumsum(0) - self.count
        self._count, self._first = self.count.numpy(), self.first.numpy()

    def of(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of what belongs to `rows`, and for each the number in `rows` that it belongs to."""
        # numpy's, as all that is short here: a torch operation costs some microseconds of its own
        count = self._count[rows.numpy()]
        number = np.arange(len(count)).repeat(count)
        place = np.arange(len(number)) + (self._first[rows.numpy()] - count.cumsum() + count)[number]
        places = torch.from_numpy(place)
        return (places if self.order is None else self.order[places]), torch.from_numpy(number)


def read(tensors: Mapping[str, torch.Tensor], channel: str, size: int, edits: int) -> Sketch:
    """A sketch from a bundle's tensors; InvalidBundle names the one that does not fit keys of that size."""
    width, number = min(size, WIDTH - 1) + 1, torch.float32
    shapes = {"mean": ((size,), number), "basis": ((size, width - 1), number), "step": ((1,), number)}
    if f"{channel}_sketch_mean" in tensors:  # as written first
        shapes |= {"balls": ((2, edits, width), torch.int8), "extent": ((2, edits), number)}
        mean, basis, step, balls, extent = _checked(tensors, f"{channel}_sketch", shapes)
        owner = torch.arange(edits).repeat(2)
        return Sketch(mean, basis, step, balls.view(-1, width), extent.view(-1), owner, edits)
    told = [tensors.get(f"{channel}_cover_{part}") for part in ("centres", "extent", "owner")]
    balls = mode(len(tensor) if tensor is not None and tensor.dim() else 0 for tensor in told)
    shapes |= {"centres": ((balls, width), torch.int8), "extent": ((balls,), number)}
    shapes |= {"owner": ((balls,), torch.int64)}
    parts = _checked(tensors, f"{channel}_cover", shapes)
    if balls and not 0 <= int(parts[-1].min()) <= int(parts[-1].max()) < edits:
        raise _unfit(f"{channel}_cover_owner", f"rows of {edits} edits")
    return Sketch(*parts, edits)


def _checked(tensors: Mapping[str, torch.Tensor], name: str, shapes: Mapping) -> list[torch.Tensor]:
    found = []
    for part, (shape, dtype) in shapes.items():
        tensor = tensors.get(f"{name}_{part}")
        if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise _unfit(f"{name}_{part}", f"{dtype} of shape {list(shape)}")
        found.append(tensor)
    return found


def _unfit(name: str, expected: str) -> InvalidBundle:
    return InvalidBundle(f"tensor '{name}' is missing or not {expected}", hint="make the bundle again")


def draw(keys: torch.Tensor, owner: torch.Tensor, radius: torch.Tensor) -> Sketch:
    """The sketch of keys [K, r] that belong to edits `owner` [K] with radii [N]; reads every key twice."""
    edits, places = len(radius), Places(owner, len(radius))
    sample = keys[:: max(1, len(keys) // SAMPLE)].double()
    sample = sample[torch.isfinite(sample).all(1)]
    mean = sample.mean(0) if len(sample) else torch.zeros(keys.shape[1], dtype=torch.float64)
    sample = sample - mean
    _, vectors = torch.linalg.eigh(sample.T @ sample)
    basis = vectors.flip(1)[:, : min(keys.shape[1], WIDTH - 1)].float().contiguous()
    spread = float(sample.square().sum(1).mean().sqrt()) if len(sample) else 0.0
    nothing = torch.zeros(0, basis.shape[1] + 1, dtype=torch.int8), torch.zeros(0), owner[:0]
    drawn = Sketch(mean.float(), basis, torch.ones(1), *nothing, edits)
    most, blocks, biggest = too_large(radius, spread), list(_blocks(places.count)), 0.0
    for rows in blocks:
        biggest = max(biggest, float(drawn.coordinates(keys[places.of(rows)[0]]).abs().max()))
    step = torch.tensor([max(biggest / 127, 1e-30)])
    bare = (places.count == 0).nonzero()[:, 0]  # without keys: may be open all the same
    found = [(torch.zeros(len(bare), basis.shape[1] + 1, dtype=torch.int8), torch.zeros(len(bare)), bare)]
    for rows in blocks:
        place, own = places.of(rows)
        sketch = drawn.coordinates(keys[place])
        centre, edit, ball = parted(sketch, own, most[rows])
        code = (centre / step).round().clamp(-127, 127).nan_to_num().to(torch.int8)
        found.append((code, extents(sketch, step * code, ball), rows[edit]))
    centres, extent, own = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(own, stable=True)
    return Sketch(drawn.mean, basis, step, centres[order], extent[order], own[order], edits)


def _blocks(count: torch.Tensor):
    """Rows with keys, as many at a time as have about BLOCK keys together."""
    rows = (count > 0).nonzero()[:, 0]
    number = count[rows].cumsum(0) // BLOCK
    return rows.split(torch.unique_consecutive(number, return_counts=True)[1].tolist()) if len(rows) else ()


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
