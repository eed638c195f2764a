"""Lays a query over a stored picture: key points, the matrices that they suggest, their refinement.

Matrices are homographies (3 x 3) that take px of the stored picture to px of the query.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LONGEST = 320  # px of the longer side that stored pictures keep
# px of the longer side of queries at most; set on screenshots that show a picture at half their size
LARGEST = 480
# key points are sought in this share of a picture's size, and in no less than so many px: set by their time
FINE, SMALLEST = 0.8, 205
# key points of a picture of LONGEST px, and the least contrast of one; set on photographs and drawings
POINTS, CONTRAST = 400, 0.02
# a match's distance over the second nearest one's, and px by which it may miss the homography; photographs
RATIO, MISS = 0.85, 3.0

# where each number of a SIFT descriptor (4 rows, 4 columns, 8 directions) lands in that of the mirror image
_MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
_QUARTER = np.array([[0.0, -1, 1], [1, 0, 0], [0, 0, 1]])  # the unit square, turned by a quarter


@dataclass(frozen=True, eq=False)
class Described:
    """A picture ready for compare: grey pixels (uint8), key points (x, y in px), their descriptors."""

    grey: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray


def describe(picture: np.ndarray) -> Described:
    """Key points of a picture (uint8, grey or RGB, any size). SIFT: Lowe 2004; RootSIFT: Arandjelovic."""
    grey = resized(grey_of(picture), min(max(picture.shape[:2]), LARGEST))
    small = resized(grey, max(SMALLEST, round(FINE * max(grey.shape))))
    count = int(POINTS * max(1, grey.size / LONGEST**2))
    if max(grey.shape) > LONGEST:  # perhaps a screen, whose text would take all the points
        sift = cv2.SIFT_create(contrastThreshold=CONTRAST)
        found, numbers = sift.compute(small, _spread(sift.detect(small, None), count))
    else:
        found, numbers = cv2.SIFT_create(count, contrastThreshold=CONTRAST).detectAndCompute(small, None)
    if numbers is None:
        found, numbers = (), np.zeros((0, 128), np.float32)
    points = np.array([p.pt for p in found[:count]], np.float32).reshape(-1, 2)
    points = (points + 0.5) * np.float32(max(grey.shape) / max(small.shape)) - 0.5
    numbers = numbers[:count]
    return Described(grey, points, np.sqrt(numbers / np.maximum(numbers.sum(1, keepdims=True), 1e-9)))


def grey_of(picture: np.ndarray) -> np.ndarray:
    """The grey levels of a picture that is grey or RGB (uint8)."""
    return picture if picture.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)


def resized(grey: np.ndarray, longest: int) -> np.ndarray:
    """A grey picture whose longer side is so many px."""
    factor = longest / max(grey.shape)
    if factor == 1:
        return grey
    size = [max(1, round(side * factor)) for side in grey.shape[::-1]]
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _spread(found: tuple, count: int) -> list:
    """The strongest key points of each part of a picture, so many together."""
    if len(found) <= count:
        return list(found)
    points, power = np.array([p.pt for p in found]), np.array([p.response for p in found])
    part = (points // (points.max() / 10 + 1)) @ [10, 1]
    order = np.lexsort((-power, part))
    first = np.r_[True, np.diff(part[order]) != 0]
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    return [found[k] for k in np.lexsort((-power, rank))[:count]]


def mirrored(picture: Described) -> Described:
    """The mirror image, without describing it anew."""
    points = np.float32([picture.grey.shape[1] - 1, 0]) + picture.points * np.float32([-1, 1])
    return Described(np.ascontiguousarray(picture.grey[:, ::-1]), points, picture.descriptors[:, _MIRROR])


def starts_of(stored: Described, query: Described) -> tuple[list[np.ndarray], int]:
    """A homography and a similarity that key points suggest, and the inliers of the better one."""
    if min(len(stored.points), len(query.points)) < 4:
        return [], 0
    near = stored.descriptors @ query.descriptors.T
    rows, best = np.arange(len(near)), near.argmax(1)
    few = np.argpartition(-near, min(3, near.shape[1] - 1), axis=1)[:, :4]
    # the second nearest is not the same corner, found again at another scale or direction
    apart = np.abs(query.points[few] - query.points[best][:, None]).max(2) > 2
    second = np.where(apart, near[rows[:, None], few], -1.0).max(1)
    good = 1 - near[rows, best] < RATIO**2 * (1 - second)
    a, b = stored.points[good], query.points[best[good]]
    if len(a) < 4:
        return [], 0
    fits = []
    affine, inside = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=1.5 * MISS, maxIters=1000)
    if affine is not None:
        fits.append((np.vstack([affine, [0, 0, 1]]), inside))
    if len(a) > 5:
        fits.append(cv2.findHomography(a, b, cv2.USAC_MAGSAC, MISS, maxIters=1000, confidence=0.999))
    fits = [(matrix, inside) for matrix, inside in fits if matrix is not None and _sane(matrix, stored.grey)]
    distinct = [len(np.unique(np.round(a[inside.ravel() > 0] / 2), axis=0)) for _, inside in fits]
    most = max(distinct, default=0)
    return [matrix for (matrix, _), n in zip(fits, distinct, strict=True) if n >= 0.5 * most], most


def _sane(matrix: np.ndarray, stored: np.ndarray) -> bool:
    """Whether the stored picture's frame stays nearly a rectangle: convex, not mirrored, about as wide."""
    h, w = stored.shape
    corners = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) @ matrix.T
    if corners[:, 2].min() < 0.2:
        return False
    corners = corners[:, :2] / corners[:, 2:]
    sides = np.roll(corners, -1, 0) - corners
    following, long = np.roll(sides, -1, 0), np.linalg.norm(sides, axis=1)
    sines = (sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]) / (
        long * np.roll(long, -1) + 1e-9
    )
    scales = long / [w, h, w, h]
    return sines.min() > 0.9 and 0.15 < scales.min() and scales.max() < min(5, 1.5 * scales.min())


def laid_whole(stored: np.ndarray, query: np.ndarray) -> tuple[float, np.ndarray]:
    """How well the whole query correlates in its best quarter turn, and the matrix of that turn."""
    a, b = (cv2.resize(x, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) for x in (stored, query))
    best, turns = max((correlation(a.ravel(), np.rot90(b, k).ravel()), k) for k in range(4))
    matrix = np.linalg.matrix_power(_QUARTER, turns) @ np.diag([1 / stored.shape[1], 1 / stored.shape[0], 1])
    return best, np.diag([query.shape[1], query.shape[0], 1]) @ matrix


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two lists of grey levels."""
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1))


def warped(query: np.ndarray, matrix: np.ndarray, shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The query in the stored picture's frame (float32), and where it is seen there (bool)."""
    size, flags = shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(query, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(np.full_like(query, 255), matrix, size, flags=flags)
    return laid.astype(np.float32), seen > 250


def _evened(grey: np.ndarray) -> np.ndarray:
    """Local contrast of about 1 everywhere."""
    grey = cv2.GaussianBlur(grey, (0, 0), 1.2)
    mean = cv2.boxFilter(grey, -1, (21, 21))
    return (grey - mean) / np.sqrt(np.maximum(cv2.boxFilter(grey * grey, -1, (21, 21)) - mean * mean, 0) + 25)


def refined(stored: np.ndarray, laid: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The small homography that takes stored px to those of the laid query. Lucas-Kanade: Baker 2004."""
    target, source = _evened(stored), _evened(laid)
    gx, gy = (cv2.Sobel(target, -1, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    power = np.where(seen, gx * gx + gy * gy, 0)
    power[:4] = power[-4:] = power[:, :4] = power[:, -4:] = 0
    # one pixel of each 4 x 4, the steepest
    h, w = (side // 4 for side in power.shape)
    tiles = power[: 4 * h, : 4 * w].reshape(h, 4, w, 4).transpose(0, 2, 1, 3).reshape(h, w, 16)
    ty, tx = np.nonzero(tiles.max(2) > 1e-3)
    if len(tx) < 30:
        return np.eye(3)
    steepest = tiles.argmax(2)[ty, tx]
    y, x = 4 * ty + steepest // 4, 4 * tx + steepest % 4
    half = 2 * max(w, h)
    unit = np.array([[1 / half, 0, -w * 2 / half], [0, 1 / half, -h * 2 / half], [0, 0, 1]])
    back = np.linalg.inv(unit)
    at = unit @ np.stack([x, y, np.ones_like(x)])
    u, v, a, b, wanted = at[0], at[1], gx[y, x] * half, gy[y, x] * half, target[y, x]
    slopes = np.stack([a, a * u, a * v, b, b * u, b * v, -(a * u + b * v) * u, -(a * u + b * v) * v], 1)
    matrix = np.eye(3)
    for _ in range(8):
        to = back @ matrix @ at
        to = (to[:2] / to[2]).astype(np.float32)
        miss = (
            cv2.remap(source, to[:1], to[1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0] - wanted
        )
        weighed = slopes / (1 + (miss / 0.5) ** 2)[:, None]
        normal = weighed.T @ slopes
        step = np.linalg.solve(normal + np.eye(8) * 1e-4 * np.trace(normal), weighed.T @ miss)
        k = [[1 + step[1], step[2], step[0]], [step[4], 1 + step[5], step[3]], [step[6], step[7], 1]]
        matrix = matrix @ np.linalg.inv(k)
        if np.abs(step).max() * half < 0.03:
            break
    return back @ matrix @ unit / matrix[2, 2]
