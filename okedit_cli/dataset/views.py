"""Pictures of the data set: art on white ground, and transformed views that a person still knows at once.

The transforms are the data set's own, apart from those that methods are fitted to.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageEnhance

from okedit_cli.dataset.svg import draw
from okedit_cli.errors import SetupError

SIDE = 128  # pixels of every picture
FILL = 0.84  # of the side that art covers; photographs cover it whole
VIEWS = ("moved", "turned", "slanted", "worn")
_MAX_PIXELS = 16_000_000
_TURN = 12.0  # degrees at most


@dataclass(frozen=True)
class View:
    name: str
    data: bytes  # a JPEG file


def opened(art: bytes, what: str) -> Image.Image:
    """Art as RGBA. SetupError: no picture, or far larger than any stamp. NotFlat: as svg.draw() tells it."""
    if art.lstrip()[:1] == b"<":
        return _drawn(art)
    try:
        with Image.open(io.BytesIO(art), formats=("PNG", "WEBP")) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise SetupError(
                    f"The picture of {what} is {image.width} x {image.height}, larger than expected."
                )
            return image.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise SetupError(f"The picture of {what} cannot be read: {error}.") from None


@lru_cache(maxsize=4096)
def _drawn(art: bytes) -> Image.Image:
    """An SVG drawing; kept, because looks are compared before pictures are written."""
    return draw(art, SIDE)


def plain(art: Image.Image, *, whole: bool = False) -> Image.Image:
    """Art in the middle of white ground, RGB of SIDE x SIDE; `whole` fills the picture, as photographs do."""
    return _flat(_layer(art, whole), _ground(None))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def views(art: Image.Image, kind: str, rng: random.Random) -> list[View]:
    """One view of each name in VIEWS; flags keep their colours, photographs their ground."""
    whole = kind == "photograph"
    layer = _layer(art, whole)
    recolour = kind != "flag"
    made = []
    for name in VIEWS:
        turn = rng.uniform(3, _TURN) * rng.choice((-1, 1)) if name == "turned" else rng.uniform(-3, 3)
        scale = rng.uniform(0.74, 1.0) if name == "moved" else rng.uniform(0.92, 1.04)
        shift = 0.08 if name == "moved" else 0.03
        slant = 0.1 if name == "slanted" else 0.0
        moved = _moved(
            layer,
            scale if not whole else max(scale, 0.85),
            (rng.uniform(-shift, shift), rng.uniform(-shift, shift)),
            turn,
            [rng.uniform(-slant, slant) for _ in range(8)],
            whole,
        )
        other_ground = not whole and (name == "moved" or rng.random() < 0.4)
        image = _flat(moved, _ground(rng if other_ground else None))
        if name in ("turned", "moved"):
            image = _lit(image, rng, recolour)
        quality = 92
        if name == "slanted":
            quality = rng.randint(22, 45)
        if name == "worn":
            image = _worn(image, rng)
        made.append(View(name, _jpeg(image, quality)))
    return made


def _layer(art: Image.Image, whole: bool) -> Image.Image:
    """Art without its empty edges, scaled to SIDE x SIDE with clear ground."""
    box = art.getchannel("A").point(lambda value: 255 if value > 8 else 0).getbbox()
    if box is not None and not whole:
        art = art.crop(box)
    longest = SIDE if whole else round(SIDE * FILL)
    ratio = longest / max(art.size)
    size = tuple(max(1, round(side * ratio)) for side in art.size)
    scaled = art.resize(size, Image.Resampling.LANCZOS if not whole else Image.Resampling.BICUBIC)
    layer = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    layer.paste(scaled, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return layer


def _ground(rng: random.Random | None) -> Image.Image:
    """White without rng; else a plain pale or middling colour, or one that runs into another."""
    if rng is None:
        return Image.new("RGB", (SIDE, SIDE), "white")
    first = np.array([rng.randint(120, 250) for _ in range(3)], dtype=np.float64)
    if rng.random() < 0.5:
        second = first
    else:
        second = np.clip(first + [rng.randint(-60, 60) for _ in range(3)], 90, 255)
    angle = rng.uniform(0, 2 * math.pi)
    across, down = np.meshgrid(np.linspace(-0.5, 0.5, SIDE), np.linspace(-0.5, 0.5, SIDE))
    share = np.clip(across * math.cos(angle) + down * math.sin(angle) + 0.5, 0, 1)[..., None]
    return Image.fromarray((first * (1 - share) + second * share).round().astype(np.uint8))


def _flat(layer: Image.Image, ground: Image.Image) -> Image.Image:
    ground.paste(layer, (0, 0), layer)
    return ground


def _moved(
    layer: Image.Image,
    scale: float,
    shift: tuple[float, float],
    turn: float,
    slant: list[float],
    whole: bool,
) -> Image.Image:
    """The layer scaled, shifted (parts of a side), turned (degrees) and seen aslant (parts of a side for each
    corner's x and y); a photograph goes on as its own mirror image past its edges.
    """
    margin = 0
    if whole:
        margin = SIDE // 2
        pixels = np.pad(np.asarray(layer), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        layer = Image.fromarray(pixels)
    angle, half = math.radians(turn), SIDE / 2
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    corners = []
    for number, (x, y) in enumerate(((0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE))):
        x, y = x - half - shift[0] * SIDE, y - half - shift[1] * SIDE
        along, down = x * cos - y * sin, x * sin + y * cos
        corners.append(
            (
                along + half + slant[2 * number] * SIDE + margin,
                down + half + slant[2 * number + 1] * SIDE + margin,
            )
        )
    return layer.transform(
        (SIDE, SIDE), Image.Transform.PERSPECTIVE, _perspective(corners), Image.Resampling.BICUBIC
    )


def _perspective(corners: list[tuple[float, float]]) -> list[float]:
    """Pillow's eight numbers that take the picture's corners to `corners` of the source."""
    rows, right = [], []
    for (x, y), (u, v) in zip(((0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)), corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.array(rows, dtype=np.float64), np.array(right, dtype=np.float64)).tolist()


def _lit(image: Image.Image, rng: random.Random, recolour: bool) -> Image.Image:
    """Brighter or darker, more or less contrast; with `recolour` a slight tint."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.72, 1.2))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.72, 1.25))
    gains = [rng.uniform(0.86, 1.1) for _ in range(3)]
    if recolour:
        bands = (
            band.point([min(255, round(value * gain)) for value in range(256)])
            for band, gain in zip(image.split(), gains, strict=True)
        )
        image = Image.merge("RGB", list(bands))
    return image


def _worn(image: Image.Image, rng: random.Random) -> Image.Image:
    """Of lower resolution, with grain."""
    side = rng.randint(44, 72)
    image = image.resize((side, side), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    grain = np.random.Generator(np.random.PCG64(rng.getrandbits(32))).normal(
        0, rng.uniform(4, 11), (SIDE, SIDE, 3)
    )
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
