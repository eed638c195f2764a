"""Random views of training pictures: what a drawing looks like when somebody else shows it.

A view varies background, place, size, angle, mirror, colour, sharpness and resolution, so that the concept
head
learns the thing and not the file.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

SIDE = 224


def flatten(picture: Image.Image, colour: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """RGBA over a plain colour."""
    out = Image.new("RGB", picture.size, colour)
    out.paste(picture, mask=picture.getchannel("A"))
    return out


def plain(picture: Image.Image) -> Image.Image:
    """The picture as a user would hand it over: over white, squashed to SIDE x SIDE."""
    if picture.mode == "RGBA":
        picture = flatten(picture)
    return picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def background(rng: np.random.Generator, photos: list[Image.Image]) -> Image.Image:
    """White, plain, gradient, noise, or a piece of a photograph."""
    pick = rng.random()
    if pick < 0.4:
        return Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    if pick < 0.6:
        return Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(0, 256, 3)))
    if pick < 0.75:
        ends = rng.integers(0, 256, (2, 3))
        ramp = np.linspace(0, 1, SIDE)[:, None, None]
        grid = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (SIDE, SIDE, 3)).astype(np.uint8)
        return Image.fromarray(grid if rng.random() < 0.5 else grid.transpose(1, 0, 2).copy())
    if pick < 0.8 or not photos:
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return photos[rng.integers(len(photos))].resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def degrade(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Colour, sharpness and resolution as cameras, screens and encoders change them."""
    for enhancer, low, high in (
        (ImageEnhance.Brightness, 0.7, 1.25),
        (ImageEnhance.Contrast, 0.7, 1.3),
        (ImageEnhance.Color, 0.5, 1.5),
    ):
        if rng.random() < 0.5:
            picture = enhancer(picture).enhance(rng.uniform(low, high))
    if rng.random() < 0.3:
        gains = rng.uniform(0.8, 1.15, 3)
        picture = Image.fromarray(np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8))
    if rng.random() < 0.08:
        picture = picture.convert("L").convert("RGB")
    if rng.random() < 0.35:
        small = int(rng.integers(48, 128))
        picture = picture.resize((small, small), 2).resize((SIDE, SIDE), 3)
    if rng.random() < 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2)))
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.integers(25, 80)))
        picture = Image.open(buffer).convert("RGB")
    return picture


def place(picture: Image.Image, rng: np.random.Generator, low: float, high: float) -> Image.Image:
    """An RGBA drawing, scaled, turned, mirrored, sheared, somewhere on a transparent SIDE x SIDE canvas."""
    side = int(SIDE * rng.uniform(low, high))
    width = max(int(side * rng.uniform(0.85, 1.0)), 8)
    drawing = picture.resize((width, side) if rng.random() < 0.5 else (side, width), 3)
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.6:
        drawing = drawing.rotate(rng.normal(0, 10), resample=2, expand=True)
        drawing.thumbnail((SIDE, SIDE))
    canvas = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    corner = [int(rng.integers(0, max(SIDE - s, 0) + 1)) for s in drawing.size]
    canvas.paste(drawing, tuple(corner))
    return canvas


def drawing_view(
    picture: Image.Image, rng: np.random.Generator, photos: list[Image.Image], flag: bool = False
) -> Image.Image:
    """A random view of an RGBA drawing; flags are never mirrored by the caller's choice of low angles."""
    if flag and rng.random() < 0.3:  # the flag alone fills the picture, as in an atlas
        box = picture.getbbox()
        return degrade(flatten(picture.crop(box)).resize((SIDE, SIDE), 3), rng) if box else plain(picture)
    canvas = place(picture, rng, 0.5, 1.0)
    out = background(rng, photos)
    out.paste(canvas, mask=canvas.getchannel("A"))
    return degrade(out, rng)


def several(picture: Image.Image, count: int, rng: np.random.Generator) -> Image.Image:
    """`count` copies of a drawing, none over another, on a plain background."""
    colour = (255, 255, 255) if rng.random() < 0.6 else tuple(int(v) for v in rng.integers(120, 256, 3))
    out = Image.new("RGB", (SIDE, SIDE), colour)
    grid = 1 if count == 1 else 2
    cell = SIDE // grid
    cells = rng.permutation(grid * grid)[:count]
    for index in cells:
        side = int(cell * rng.uniform(0.7, 0.98))
        copy = picture.resize((side, side), 3)
        x, y = (
            int(index % grid * cell + rng.integers(0, cell - side + 1)),
            int(index // grid * cell + rng.integers(0, cell - side + 1)),
        )
        out.paste(copy, (x, y), copy.getchannel("A"))
    return out


def photo_view(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random crop (60-100 %), mirror and mild degradation of a photograph."""
    picture = picture.convert("RGB")
    w, h = picture.size
    scale = rng.uniform(0.6, 1.0)
    cw, ch = int(w * scale), int(h * scale)
    x, y = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
    picture = picture.crop((x, y, x + cw, y + ch)).resize((SIDE, SIDE), 3)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return degrade(picture, rng) if rng.random() < 0.5 else picture
