"""Other views of a picture, as a user would meet them: shifted, turned, cropped, darker, small or grainy.

Deterministic by seed, on Pillow and numpy alone. A view must still show what the picture shows: turns stay
within 15 degrees and crops keep at least 80 % of a side.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

MAX_SIDE = 1024  # models see fewer pixels; larger views only cost time
MAX_TURN = 15.0  # degrees
MIN_CROP = 0.8  # of a side
THUMBNAIL = (40, 88)  # pixels of a thumbnail's longer side
GRAIN_SIDE = 192  # pixels; finer grain would be gone where models scale pictures down
_WHITE = 243  # a level of all three channels above which a pixel counts as paper

Transform = Callable[[Image.Image, random.Random], Image.Image]


def views(
    picture: Image.Image, n: int, seed: int, *, mirror: bool = True, recolour: bool = True
) -> list[Image.Image]:
    """n different RGB views; without `mirror` none is reversed, without `recolour` colours stay."""
    base = picture.convert("RGB")
    base.thumbnail((MAX_SIDE, MAX_SIDE))
    recipes = [r for r in _RECIPES if (mirror or _mirror not in r) and (recolour or not _RECOLOURS & set(r))]
    chance = random.Random(seed)
    out = []
    for i in range(n):
        view = base
        for transform in recipes[i % len(recipes)]:
            view = transform(view, chance)
        out.append(view)
    return out


def plain_border(picture: Image.Image) -> tuple[int, int, int] | None:
    """RGB of the plain ground of a drawing: the colour of 90 % of the outermost pixels, else None."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    middle = np.median(edge, axis=0)
    if (np.abs(edge - middle).max(axis=1) <= 12).mean() < 0.9:
        return None
    return tuple(int(level) for level in middle)


def has_white_border(picture: Image.Image) -> bool:
    """Whether a drawing stands on plain white paper."""
    colour = plain_border(picture)
    return colour is not None and min(colour) >= _WHITE


def _padded(picture: Image.Image, share: float = 0.25) -> Image.Image:
    """The picture with a margin: of its own plain ground, else mirrored, so that no black corners show."""
    colour = plain_border(picture)
    margins = [min(int(side * share), side - 1) for side in picture.size]
    if colour is not None:
        return ImageOps.expand(picture, tuple(margins), colour)
    (dx, dy), pixels = margins, np.asarray(picture)
    return Image.fromarray(np.pad(pixels, [(dy, dy), (dx, dx), (0, 0)], mode="reflect"))


def _centre(picture: Image.Image, size: tuple[int, int], dx: int = 0, dy: int = 0) -> Image.Image:
    left, top = (picture.width - size[0]) // 2 + dx, (picture.height - size[1]) // 2 + dy
    return picture.crop((left, top, left + size[0], top + size[1]))


def _shift(picture: Image.Image, chance: random.Random) -> Image.Image:
    dx = round(picture.width * chance.choice((-1, 1)) * chance.uniform(0.04, 0.09))
    dy = round(picture.height * chance.choice((-1, 1)) * chance.uniform(0.03, 0.08))
    return _centre(_padded(picture), picture.size, dx, dy)


def _turn(picture: Image.Image, chance: random.Random) -> Image.Image:
    angle = chance.choice((-1, 1)) * chance.uniform(5, MAX_TURN)
    return _centre(_padded(picture).rotate(angle, Image.Resampling.BICUBIC), picture.size)


def _slant(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Seen from one side: a side of the picture is shorter than the other, its corners moved on their own."""
    padded = _padded(picture)
    width, height = picture.size
    left, top = (padded.width - width) // 2, (padded.height - height) // 2
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    seen = [
        (x + left + width * chance.uniform(-0.1, 0.1), y + top + height * chance.uniform(-0.1, 0.1))
        for x, y in corners
    ]
    rows = []
    for (x, y), (u, v) in zip(corners, seen, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    mapped = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(seen).ravel())
    return padded.transform(
        picture.size, Image.Transform.PERSPECTIVE, mapped.tolist(), Image.Resampling.BICUBIC
    )


def _crop(picture: Image.Image, chance: random.Random) -> Image.Image:
    share = chance.uniform(MIN_CROP, 0.92)
    width, height = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    left = chance.randint(0, picture.width - width)
    top = chance.randint(0, picture.height - height)
    part = picture.crop((left, top, left + width, top + height))
    return part.resize(picture.size, Image.Resampling.BICUBIC)


def _smaller(picture: Image.Image, chance: random.Random) -> Image.Image:
    """The same scene from a little farther away."""
    share = chance.uniform(0.8, 0.92)
    size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
    return _centre(_padded(picture.resize(size, Image.Resampling.BICUBIC)), picture.size)


def _mirror(picture: Image.Image, chance: random.Random) -> Image.Image:
    return ImageOps.mirror(picture)


def _light(picture: Image.Image, chance: random.Random) -> Image.Image:
    factor = chance.choice((chance.uniform(0.55, 0.75), chance.uniform(1.15, 1.3)))
    return ImageEnhance.Brightness(picture).enhance(factor)


def _contrast(picture: Image.Image, chance: random.Random) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(chance.choice((0.65, 1.4)))


def _colour(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Weaker or stronger colours and a tint, as of lamp light or shade."""
    picture = ImageEnhance.Color(picture).enhance(chance.choice((0.55, 1.5)))
    warm = chance.choice((-1, 1)) * chance.uniform(0.06, 0.12)
    gains = np.array([1 + warm, 1.0, 1 - warm])
    return Image.fromarray(np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8))


def _grey(picture: Image.Image, chance: random.Random) -> Image.Image:
    return ImageOps.grayscale(picture).convert("RGB")


def _blur(picture: Image.Image, chance: random.Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / chance.uniform(170, 260)))


def _jpeg(picture: Image.Image, chance: random.Random) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=chance.randint(18, 40))
    return Image.open(buffer).convert("RGB")


def _thumbnail(picture: Image.Image, chance: random.Random) -> Image.Image:
    """As a thumbnail shows it, enlarged again."""
    small, side = picture.copy(), chance.randint(*THUMBNAIL)
    small.thumbnail([min(side, max(1, round(0.7 * max(picture.size))))] * 2, Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def _grain(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Noise of a camera in poor light: mostly of brightness, a little of colour."""
    small = picture.copy()
    small.thumbnail((GRAIN_SIDE, GRAIN_SIDE))
    levels, noise = np.asarray(small).astype(np.float64), np.random.default_rng(chance.getrandbits(32))
    bright = noise.normal(0, chance.uniform(5, 15), (*levels.shape[:2], 1))
    colour = noise.normal(0, chance.uniform(2, 6), levels.shape)
    grainy = Image.fromarray(np.clip(levels + bright + colour, 0, 255).astype(np.uint8))
    return grainy.resize(picture.size, Image.Resampling.BICUBIC)


def _ground(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Another plain ground for a drawing on white paper; a photograph stays as it is."""
    colour = tuple(chance.randint(90, 230) for _ in range(3))
    if not has_white_border(picture):
        return picture
    # Flood from the edge on a small map, so that white parts inside the drawing stay white.
    side = 160
    near = np.asarray(picture).min(axis=2) >= _WHITE
    small = Image.fromarray(np.where(near, 255, 0).astype(np.uint8))
    small = small.resize((side, side), Image.Resampling.BOX)
    small = small.point(lambda level: 255 if level >= 128 else 0)
    outside = Image.fromarray(np.where(_outside(np.asarray(small) > 0), 255, 0).astype(np.uint8))
    outside = outside.filter(ImageFilter.MaxFilter(3)).resize(picture.size, Image.Resampling.NEAREST)
    mask = Image.fromarray(np.where((np.asarray(outside) > 0) & near, 255, 0).astype(np.uint8))
    return Image.composite(Image.new("RGB", picture.size, colour), picture, mask)


def _outside(free: np.ndarray) -> np.ndarray:
    """What of the free places [h, w] of a map is reached from beyond its edge, along rows and columns."""
    free = np.pad(free, 1, constant_values=True)
    reached, ways = np.zeros_like(free), []
    for turned, got in ((free, reached), (free.T, reached.T)):
        # stretches between walls are flooded as wholes, each row's with numbers of their own
        stretch = np.cumsum(~turned, axis=1) + np.arange(len(turned))[:, None] * (turned.shape[1] + 1)
        ways.append((turned, got, stretch))
    reached[0, 0], before = True, 0
    while (now := reached.sum()) > before:
        before = now
        for turned, got, stretch in ways:
            wet = np.zeros(stretch.max() + 1, dtype=bool)
            wet[stretch[got]] = True
            got |= turned & wet[stretch]
    return reached[1:-1, 1:-1]


_RECOLOURS = {_colour, _grey, _ground}
# The first seven differ most, since seven are what a fact gets: a key of its own for each, beside the edit's.
_RECIPES: list[tuple[Transform, ...]] = [
    (_ground, _shift, _light),
    (_turn, _colour),
    (_crop, _jpeg),
    (_mirror, _smaller, _contrast),
    (_thumbnail, _grain),
    (_grain,),
    (_thumbnail,),
    (_blur, _shift),
    (_grey, _smaller),
    (_ground, _turn),
    (_light, _crop),
    (_turn, _contrast, _jpeg),
    (_shift, _contrast),
    (_slant,),
    (_ground, _slant, _light),
]
