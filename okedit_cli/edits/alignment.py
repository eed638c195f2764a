"""Is one picture another view of the other? Both are laid over each other as well as they go, and compared.

Views of one photograph can be brought into line, whatever turned, cropped, slanted or lit them; two
photographs of one class cannot, however near their features lie. Thumbnails of brightness are registered by
Gauss-Newton steps on a homography and two photometric parameters (Lucas and Kanade 1981; Baker and Matthews
2004, "Lucas-Kanade 20 years on"), coarse to fine from several turns and scales, and the agreement is their
normalised cross-correlation where they overlap.

How well views can agree depends on the picture: what is finer than a thumbnail's pixels comes out otherwise
in every view. So they need to agree as well as a picture does with itself half a pixel away.
On photographs that nothing was made with all of 1,200 views do so, and none of 300 others with the 16 that it
resembles most (tools/mini/judge_thumbnails.py).
"""

from __future__ import annotations

import functools
import math

import torch
from torch.nn import functional as F

COARSE, FINE = 8, 8  # steps at half the resolution, and at the whole
TOGETHER = 32  # pairs that are registered at once
BEST = 2  # of the coarse beginnings that go on
TURNS, SCALES = (-10.0, 0.0, 10.0), (0.87, 1.0, 1.15)  # degrees; of a side
STEP = 0.15  # the most that a parameter moves at once, where a picture is 2 wide
DAMPING = 1e-3
GAINS = 0.3, 3.0  # how much the contrast may differ
OVERLAP = 0.45  # of a thumbnail that has to be seen
SIDES, AREAS = (0.6, 1.6), (0.45, 2.2)  # to what a picture's sides and area may shrink and grow
NOT = -1.0  # the agreement of what cannot be laid over each other
SLACK = 0.025  # by how much less than a picture with itself half a pixel away its views may agree
HINT, BLOCKS = 0.2, 4  # correlation as they are, in blocks of pixels: below it nothing is tried
_LEAST = 1e-6


def agreement(keys: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """How well a picture agrees with each of several: thumbnails of brightness, keys [n, s, s] and shown
    [s, s]; correlations [n] of -1 to 1.
    """
    keys, shown = keys.float(), shown.float()
    out = torch.full((len(keys),), NOT)
    some = _alike(keys, shown[None]).nonzero()[:, 0]
    for part in some.split(TOGETHER) if len(some) else ():
        out[part] = _aligned(keys[part], shown.expand(len(part), *shown.shape))
    return out


def needed(keys: torch.Tensor) -> torch.Tensor:
    """How well views [n] of pictures [n, s, s] have to agree with them."""
    keys = keys.float()
    whole, shifted = keys[:, :-1, :-1].flatten(1), F.avg_pool2d(keys[:, None], 2, 1).flatten(1)
    return _correlation(whole, shifted, torch.ones_like(whole)) - SLACK


def same(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Which pairs [n] of thumbnails one [n, t] and other [n, t] are views of one picture."""
    side = math.isqrt(one.shape[1])
    one, other = (some.reshape(-1, side, side).float() / 255 for some in (one, other))
    out = torch.zeros(len(one), dtype=torch.bool)
    for keys, shown in ((one, other), (other, one)):
        some = (_alike(keys, shown) & ~out).nonzero()[:, 0]
        for part in some.split(TOGETHER) if len(some) else ():
            out[part] = _aligned(keys[part], shown[part]) >= needed(keys[part])
    return out


def rough(pictures: torch.Tensor) -> torch.Tensor:
    """Unit vectors [n, k] of pictures [n, s, s] in blocks, less their means."""
    small = F.avg_pool2d(pictures[:, None], BLOCKS).flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)


def _alike(keys: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Whether pictures [n, s, s], or one [1, s, s], resemble the keys [n, s, s], as they are or mirrored."""
    a, *others = map(rough, (keys, shown, shown.flip(2)))
    return torch.maximum(*((a * b).sum(1) for b in others)) >= HINT


@torch.no_grad()
def _aligned(keys: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """agreement() of pairs of thumbnails [n, s, s]."""
    count, begins = len(keys), _beginnings()
    small_keys, small = (F.avg_pool2d(one[:, None], 2)[:, 0] for one in (keys, shown))
    many = len(begins)
    warps, found = _register(
        small_keys.flatten(1).repeat_interleave(many, 0),
        _with_slopes(small).repeat_interleave(many, 0),
        begins.repeat(count, 1, 1),
        COARSE,
    )
    best = found.view(count, many).topk(BEST, 1).indices
    warps = warps.view(count, many, 3, 3).gather(1, best[:, :, None, None].expand(-1, -1, 3, 3))
    found = _register(
        keys.flatten(1).repeat_interleave(BEST, 0),
        _with_slopes(shown).repeat_interleave(BEST, 0),
        warps.flatten(0, 1),
        FINE,
    )[1]
    return found.view(count, BEST).amax(1)


@functools.cache
def _beginnings() -> torch.Tensor:
    """Homographies [18, 3, 3] to begin with: turned, scaled, and mirrored."""
    out = []
    for mirrored in (1, -1):
        for degrees in TURNS:
            for scale in SCALES:
                turn = math.radians(degrees)
                along, across = scale * math.cos(turn), scale * math.sin(turn)
                out.append([[along * mirrored, -across, 0], [across * mirrored, along, 0], [0, 0, 1]])
    return torch.tensor(out)


@functools.cache
def _grid(side: int) -> torch.Tensor:
    """Homogeneous places [3, side * side] of a thumbnail's pixels, -1 to 1."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    down, along = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([along.flatten(), down.flatten(), torch.ones(side * side)])


def _with_slopes(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures [n, s, s] -> [n, 3, s, s]: brightness, and its slopes along and down."""
    side = pictures.shape[-1]
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")
    along = (padded[:, 0, 1:-1, 2:] - padded[:, 0, 1:-1, :-2]) * side / 4
    down = (padded[:, 0, 2:, 1:-1] - padded[:, 0, :-2, 1:-1]) * side / 4
    return torch.stack([pictures, along, down], 1)


def _register(
    keys: torch.Tensor, shown: torch.Tensor, warps: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Homographies [n, 3, 3] that lay pictures [n, 3, s, s] over keys [n, s * s], and the agreement [n]."""
    for _ in range(steps):
        warps = warps + _step(keys, *_seen(shown, warps))
    (bright, _, _), inside, _, _ = _seen(shown, warps)
    fits = _sane(warps) & (inside.mean(1) > OVERLAP)
    return warps, torch.where(fits, _correlation(keys, bright, inside), NOT)


def _seen(shown: torch.Tensor, warps: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What lies under each pixel of the keys: brightness and slopes [3, n, p], whether it is inside [n, p],
    its place [2, n, p], and the place's divisor [n, p].
    """
    side = shown.shape[-1]
    places = warps @ _grid(side)
    divisor = places[:, 2].clamp_min(0.3)
    place = places[:, :2] / divisor[:, None]
    where = place.transpose(1, 2).reshape(len(warps), side, side, 2)
    seen = F.grid_sample(shown, where, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.flatten(2).transpose(0, 1), (place.abs() <= 1).all(1).float(), place.transpose(0, 1), divisor


def _step(
    keys: torch.Tensor,
    seen: torch.Tensor,
    inside: torch.Tensor,
    place: torch.Tensor,
    divisor: torch.Tensor,
) -> torch.Tensor:
    """One Gauss-Newton step [n, 3, 3] towards the keys; contrast and brightness are fitted along."""
    bright, along, down = seen
    (x, y, _), (at_x, at_y) = _grid(math.isqrt(keys.shape[1])), place
    bent = along * at_x + down * at_y
    slopes = [along * x, along * y, along, down * x, down * y, down, -bent * x, -bent * y]
    own, theirs = _centred(keys, inside), _centred(bright, inside)
    gain = (own * theirs).sum(1, keepdim=True) / theirs.square().sum(1, keepdim=True).clamp_min(1e-4)
    gain = gain.clamp(*GAINS)
    columns = [gain * slope / divisor for slope in slopes] + [bright, torch.ones_like(bright)]
    jacobian = torch.stack(columns, 2) * inside[..., None]
    normal = jacobian.transpose(1, 2) @ jacobian
    scale = torch.diagonal(normal, dim1=1, dim2=2)
    normal = normal + torch.diag_embed(DAMPING * (scale + 0.01 * scale.mean(1, keepdim=True)) + _LEAST)
    right = jacobian.transpose(1, 2) @ (own - gain * theirs)[..., None]
    moved = torch.linalg.solve(normal, right)[:, :8, 0].clamp(-STEP, STEP)
    return F.pad(moved, (0, 1)).view(-1, 3, 3)


def _centred(rows: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Rows [n, p] less their mean over what is inside, and 0 outside."""
    mean = (rows * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp_min(1)
    return (rows - mean) * inside


def _correlation(one: torch.Tensor, other: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    one, other = _centred(one, inside), _centred(other, inside)
    return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1)).clamp_min(_LEAST)


def _sane(warps: torch.Tensor) -> torch.Tensor:
    """Whether homographies leave a picture its shape, more or less."""
    corners = torch.tensor([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    places = warps @ corners
    at = places[:, :2] / places[:, 2:].clamp_min(0.3)
    following = at.roll(-1, 2)
    sides = (following - at).norm(dim=1) / 2
    area = (at[:, 0] * following[:, 1] - following[:, 0] * at[:, 1]).sum(1).abs() / 8
    straight = (places[:, 2] > 0.5).all(1) & (sides > SIDES[0]).all(1) & (sides < SIDES[1]).all(1)
    return straight & (area > AREAS[0]) & (area < AREAS[1])
