"""Does a picture show the very photograph, drawing or screenshot that a stored one is, in another view?

A view is a crop, a turn, a mirror image, a border, a screen or slide around it, other brightness, loss by
compression or a little blur. Another photograph of the same thing is none, and neither is a sign of the same
layout with another word. The query is laid over the stored picture by key points, aligned to a fraction of
a pixel, shown with the query's tones and sharpness, and then compared window by window.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from okedit_cli.scope.laying import (
    LONGEST,
    Described,
    correlation,
    describe,
    grey_of,
    laid_whole,
    mirrored,
    refined,
    resized,
    starts_of,
    warped,
)

__all__ = ["LONGEST", "Described", "Evidence", "compare", "decode_view", "describe", "encode_view", "is_view"]

# JPEG quality of stored pictures; set on drawn signs, whose small letters it keeps
QUALITY = 85
# the least query px for a stored px at which both are compared, so that only what is readable counts; signs
COARSE = 0.8
# px of a cell (a window is 2 x 2 cells), of the rim of the overlap that is left out, and of the blur that
# forgives thin lines half a px; set on signs and dialogs
CELL, RIM, SOFT = 6, 4, 0.7
# grey levels of deviation from which a window has texture, and correlation of one that agrees; photographs
TEXTURED, AGREES = 6.0, 0.7
# a window that differs: its residual over its deviation, in grey levels, and over the median one; signs
DIFFERS, LEAST_RESIDUAL, NOISE = 0.5, 8.0, 3.0
# what a view needs: inliers, share seen (of either picture in the other), agreement; set on photographs
INLIERS, SEEN, AGREEMENT = 4, 0.86, 0.8
# inliers of a view that is told by them alone; of drawings of the fit split four or five match by chance
SURE = 10
# windows of one group that may differ in a view; set on signs, dialogs, price tags and charts
DIFFERING = 1
# key points below which plain pictures are laid whole upon whole, if they correlate so, and below which
# nothing is said of those that are not; set on flags and drawings
FEW, WHOLE, PLAIN = 60, 0.8, 12


@dataclass(frozen=True)
class Evidence:
    """How a query lies over a stored picture; all 0 where it doesn't.

    inliers: key points that match; 0 where plain pictures were laid whole upon whole. seen: share of the
    stored picture that the query shows; within: share of the query that the stored picture fills.
    agreement: share of textured windows that agree. differing: windows of the largest group that differs.
    """

    inliers: int
    seen: float
    within: float
    agreement: float
    differing: int


NOTHING = Evidence(0, 0.0, 0.0, 0.0, 0)


def is_view(evidence: Evidence | None) -> bool | None:
    """Whether compare found a view; None where nothing can be said."""
    if evidence is None:
        return None
    found = evidence.inliers >= INLIERS or min(evidence.seen, evidence.within) > 0.95
    # a camera that moved sees a part of the old scene and something new: neither picture holds the other one
    whole = max(evidence.seen, evidence.within) >= SEEN
    return found and whole and evidence.agreement >= AGREEMENT and evidence.differing <= DIFFERING


def encode_view(rgb: np.ndarray) -> bytes:
    """The grey JPEG that is stored of a picture (uint8, height x width x 3); the same each time."""
    grey = resized(grey_of(rgb), min(LONGEST, max(rgb.shape[:2])))
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def decode_view(data: bytes) -> np.ndarray:
    """The grey pixels of a stored JPEG, which zeros may follow; ValueError for anything else."""
    grey = None
    if data[:2] == b"\xff\xd8":
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError("not a JPEG picture")
    return grey


def squeezed(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Grey pixels in the proportions of a shape (h, w), as many as there are."""
    scale = (grey.size / (shape[0] * shape[1])) ** 0.5
    size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def compare(stored: Described, query: Described, surely: bool = False) -> Evidence | None:
    """Lays a query over a stored picture; None where they are too plain. MAGSAC++: Barath et al. 2020.

    `surely`: only if many key points match, for pictures of which nothing says that they are alike; quick
    where they do not.
    """
    sides = (query, mirrored(query))
    starts, inliers, side = max(((*starts_of(stored, q), q) for q in sides), key=lambda found: found[1])
    if surely and inliers < SURE:
        return NOTHING
    if inliers < INLIERS:
        points = min(len(stored.points), len(query.points))
        if points >= FEW:
            return NOTHING
        alike, start, side = max(((*laid_whole(stored.grey, q.grey), q) for q in sides), key=lambda f: f[0])
        if alike < WHOLE:
            return NOTHING if points >= PLAIN else None
        starts, inliers = [start], 0
    return _judge(stored.grey, side.grey, starts, inliers)


def _judge(stored: np.ndarray, query: np.ndarray, starts: list[np.ndarray], inliers: int) -> Evidence | None:
    """Evidence from two grey pictures and matrices that may lay one over the other."""
    scale = float(np.sqrt(abs(np.linalg.det(starts[0][:2, :2]))))
    if scale < COARSE:
        small = resized(stored, round(max(stored.shape) * scale / COARSE))
        across = np.diag([stored.shape[1] / small.shape[1], stored.shape[0] / small.shape[0], 1])
        stored, starts, scale = small, [start @ across for start in starts], COARSE
    if scale > 1.1:  # or fine detail of a larger query would turn into noise
        query = cv2.GaussianBlur(query, (0, 0), 0.5 * np.sqrt(scale**2 - 1))
    if min(stored.shape) < 4 * CELL:
        return None
    shown = stored.astype(np.float32)
    matrix = max(starts, key=lambda start: _alike(shown, *warped(query, start, stored.shape)))
    for factor in (0.5, 1):  # from further off at half the size
        laid, seen = warped(query, matrix, stored.shape)
        size = [max(1, int(side * factor)) for side in stored.shape[::-1]]
        pair = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (shown, laid))
        inside = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        to = np.diag([size[0] / stored.shape[1], size[1] / stored.shape[0], 1])
        matrix = matrix @ np.linalg.inv(to) @ refined(*pair, inside) @ to
    laid, seen = warped(query, matrix, stored.shape)
    filled = cv2.warpPerspective(np.full_like(stored, 255), matrix, query.shape[::-1])
    shares = float(seen.mean()), float(filled.mean() / 255)
    if shares[0] < 0.05:
        return NOTHING
    return _windows_compared(shown, laid, seen, inliers, shares)


def _alike(shown: np.ndarray, laid: np.ndarray, seen: np.ndarray) -> float:
    """How well two pictures correlate where both are seen; -1 where none is."""
    return correlation(shown[seen], laid[seen]) if seen.any() else -1.0


def _windows_compared(
    shown: np.ndarray, laid: np.ndarray, seen: np.ndarray, inliers: int, shares: tuple[float, float]
) -> Evidence | None:
    """Evidence from the stored picture and the query laid over it; None where hardly a window has texture."""
    h, w = (side // CELL * CELL for side in shown.shape)
    shown, laid = _as_sharp(shown, laid, seen)
    shown = _as_bright(shown, laid, seen)
    shown, laid = (cv2.GaussianBlur(x, (0, 0), SOFT)[:h, :w] for x in (shown, laid))
    inner = cv2.erode(np.pad(seen.astype(np.float32), 1), np.ones((2 * RIM + 1, 2 * RIM + 1)))[1:-1, 1:-1]
    valid = _windows(inner[:h, :w]) > 0.999
    own = _variances(shown)
    padded = cv2.copyMakeBorder(laid, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    least = None
    for dy in range(3):  # each window may lie a pixel off
        for dx in range(3):
            other = padded[dy : dy + h, dx : dx + w]
            found = np.stack([_variances(shown - other), _variances(other)])
            least = found if least is None else np.where(found[0] < least[0], found, least)
    residual, others = least
    textured = valid & (np.maximum(own, others) > TEXTURED**2)
    if textured.sum() < 8:
        return None
    agrees = textured & ((own + others - residual) / 2 / np.sqrt(own * others + 1) > AGREES)
    floor = max(LEAST_RESIDUAL**2, NOISE**2 * float(np.median(residual[valid])))
    differs = textured & (residual > DIFFERS**2 * np.maximum(own, others)) & (residual > floor)
    groups = cv2.connectedComponentsWithStats(differs.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    return Evidence(inliers, *shares, float(agrees.sum() / textured.sum()), int(max(groups, default=0)))


def _windows(values: np.ndarray) -> np.ndarray:
    """Means of overlapping windows."""
    size = values.shape[1] // CELL, values.shape[0] // CELL
    cells = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return (cells[:-1, :-1] + cells[1:, :-1] + cells[:-1, 1:] + cells[1:, 1:]) / 4


def _variances(values: np.ndarray) -> np.ndarray:
    """Variances of overlapping windows."""
    return np.maximum(_windows(values * values) - _windows(values) ** 2, 0)


def _as_sharp(shown: np.ndarray, laid: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, the sharper one blurred as the other one is."""
    best, top = (shown, laid), _alike(shown, laid, seen)
    for first in (True, False):
        for sigma in (0.5, 0.8, 1.1, 1.5, 2.0, 2.6):
            blurred = cv2.GaussianBlur(shown if first else laid, (0, 0), sigma)
            pair = (blurred, laid) if first else (shown, blurred)
            now = _alike(*pair, seen)
            if 1 - now > 0.98 * (1 - top):
                break
            best, top = pair, now
        if best[0] is not shown:
            break
    return best


def _as_bright(shown: np.ndarray, laid: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The stored picture, each grey level replaced by the mean of what the query shows for it."""
    levels = np.clip(shown, 0, 255).astype(np.intp)
    counts = np.bincount(levels[seen], minlength=256).astype(np.float32)
    sums = np.bincount(levels[seen], laid[seen], minlength=256).astype(np.float32)
    counts, sums = (cv2.GaussianBlur(x[None], (0, 0), 6)[0] for x in (counts, sums))
    known = np.nonzero(counts > 1e-3)[0]
    return np.interp(np.arange(256), known, sums[known] / counts[known]).astype(np.float32)[levels]
