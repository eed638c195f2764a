"""Views of a photograph: what becomes of one and the same picture when it is passed on."""

from __future__ import annotations

import io
import math
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from okedit_cli.errors import InvalidFacts

VIEWS = ("crop", "turn", "border", "screenshot", "grey", "mirror", "recompressed")
CROP = 0.6  # of the area that is left
TURN = (5.0, 15.0)  # degrees
SHORTEST = 256  # pixels of the short side that views are made at
LARGEST = 512  # pixels of the short side that photographs are kept at
_MAX_PIXELS = 80_000_000
_KEPT = {"JPEG": ".jpg", "PNG": ".png"}
_UPRIGHT, _ORIENTATION = (None, 1), 0x0112


def photograph(path: Path) -> tuple[Image.Image, bytes, str]:
    """(picture upright and RGB, the file's bytes, its suffix): the bytes as they are for a JPEG or PNG that
    is upright and not large, else written anew. InvalidFacts: no picture, or one of more than 80 megapixels.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise InvalidFacts(f"{path} is {image.width} x {image.height}, larger than expected.")
            as_is = image.format in _KEPT and image.getexif().get(_ORIENTATION) in _UPRIGHT
            suffix = _KEPT.get(image.format or "", ".jpg")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidFacts(f"{path} cannot be read as a picture: {error}.") from None
    if as_is and min(upright.size) <= LARGEST:
        return upright, data, suffix
    upright = smaller(upright, LARGEST)
    return upright, jpeg(upright, 90), ".jpg"


def smaller(image: Image.Image, shortest: int) -> Image.Image:
    """The picture with that short side, or as it is where it is not larger."""
    ratio = shortest / min(image.size)
    if ratio >= 1:
        return image
    return image.resize(_size(image, ratio), Image.Resampling.LANCZOS)


def jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def views(image: Image.Image, rng: random.Random) -> dict[str, bytes]:
    """Kind -> JPEG file, one of each of VIEWS, in their order."""
    image = smaller(image, SHORTEST)
    small = image.resize(_size(image, 0.6), Image.Resampling.BILINEAR)
    return {
        "crop": jpeg(_cropped(image, rng), 90),
        "turn": jpeg(_turned(image, rng.uniform(*TURN) * rng.choice((-1, 1))), 90),
        "border": jpeg(_bordered(image, rng), 90),
        "screenshot": jpeg(_screenshot(image, rng), 88),
        "grey": jpeg(image.convert("L").convert("RGB"), 90),
        "mirror": jpeg(ImageOps.mirror(image), 90),
        "recompressed": jpeg(small.resize(image.size, Image.Resampling.BILINEAR), rng.randint(12, 25)),
    }


def _size(image: Image.Image, ratio: float) -> tuple[int, int]:
    return max(1, round(image.width * ratio)), max(1, round(image.height * ratio))


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    width, height = _size(image, math.sqrt(CROP))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    """The corners that come free show the picture mirrored at its edges."""
    margin = min(image.size) // 2
    pixels = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


def _bordered(image: Image.Image, rng: random.Random) -> Image.Image:
    width = round(min(image.size) * rng.uniform(0.06, 0.14))
    colour = rng.choice(("white", "black", "#d8d2c4", "#8a1c2b", "#20406a"))
    return ImageOps.expand(image, border=width, fill=colour)


def _screenshot(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture in a page with a bar on top, lines of text, a sign and buttons around it."""
    side, dark = min(image.size), rng.random() < 0.4
    ground, ink = ("#16181c", "#8b929c") if dark else ("#ffffff", "#6a7078")
    accent = rng.choice(("#1d6fe0", "#c2342e", "#2b8a3e", "#7a3db8"))
    margin, bar, below = side // 10, side // 8, side // 2
    beside = round(side * rng.uniform(0.1, 0.5))
    canvas = Image.new("RGB", (image.width + 2 * margin + beside, image.height + 2 * bar + below), ground)
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((0, 0, canvas.width, bar), fill=accent)
    pen.ellipse((margin // 2, bar // 5, margin // 2 + bar * 3 // 5, bar * 4 // 5), fill="#f2f2f2")
    pen.rectangle((margin + bar, bar * 2 // 5, canvas.width // 2, bar * 3 // 5), fill="#f2f2f2")
    canvas.paste(image, (margin, bar + bar // 2))
    top, line = image.height + bar + bar, side // 16
    for number in range(4):
        right = margin + round((canvas.width - 2 * margin) * rng.uniform(0.4, 1))
        pen.rectangle((margin, top + 2 * number * line, right, top + (2 * number + 1) * line), fill=ink)
    for number in range(2):
        left = margin + number * side // 2
        pen.rectangle(
            (left, canvas.height - bar, left + side * 2 // 5, canvas.height - bar // 4), fill=accent
        )
    if beside > margin:
        left = margin * 3 // 2 + image.width
        pen.rectangle((left, bar * 2, canvas.width - margin // 2, bar * 2 + beside), fill=ink)
    return canvas
