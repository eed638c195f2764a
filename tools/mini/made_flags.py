"""Flags of no country, each as three artists would draw it: what the picture space learns to tell flags by.

Flags look alike; a space that is to keep them apart has to have seen many, and there are few that no split of
okedit-pictures holds.
"""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageDraw

SIDE, ACROSS, DOWN = 128, 108, 78
COLOURS = (
    "#d21034", "#ffffff", "#0033a0", "#00843d", "#ffd100", "#111111", "#ff7f27", "#5cb8e6", "#7a1420",
)  # fmt: skip
GROUNDS = ("rows", "columns", "cross", "saltire", "plain", "hoist", "diagonal")
EMBLEMS = ("", "", "disc", "star", "crescent", "ring", "triangle", "canton", "bar")


def made_flag(chance: random.Random) -> list[Image.Image]:
    """One flag, RGB of SIDE x SIDE: waving with shades, with round corners, and framed in other shades."""
    design = _design(chance)
    shades = {colour: _shade(colour, chance, 22) for colour in COLOURS}
    others = {colour: _shade(colour, chance, 34) for colour in COLOURS}
    flat, pale = _draw(design, shades), _draw(design, others)
    return [_waved(flat, chance), _rounded(flat), _framed(pale)]


def _design(chance: random.Random) -> dict:
    count = chance.choice((2, 3, 3, 3, 5, 7))
    colours = [chance.choice(COLOURS)]
    while len(colours) < max(count, 4):
        colours.append(chance.choice([c for c in COLOURS if c != colours[-1]]))
    return {
        "ground": chance.choice(GROUNDS),
        "emblem": chance.choice(EMBLEMS),
        "colours": colours,
        "count": count,
        "mark": chance.choice(COLOURS),
        "place": chance.choice(((0.5, 0.5), (0.5, 0.5), (0.25, 0.3), (0.33, 0.5))),
        "size": chance.uniform(0.14, 0.3),
        "wide": chance.uniform(0.12, 0.24),
        "points": chance.choice((5, 6, 7)),
    }


def _shade(colour: str, chance: random.Random, most: int) -> tuple[int, int, int]:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(max(0, min(255, part + chance.randint(-most, most))) for part in parts)


def _draw(design: dict, shades: dict) -> Image.Image:
    across, down = 4 * ACROSS, 4 * DOWN  # drawn large, so that edges are smooth
    image = Image.new("RGB", (across, down), shades[design["colours"][0]])
    pen, colours, count = ImageDraw.Draw(image), [shades[c] for c in design["colours"]], design["count"]
    wide, ground = design["wide"], design["ground"]
    if ground == "rows":
        for n in range(count):
            pen.rectangle((0, down * n // count, across, down * (n + 1) // count), colours[n])
    elif ground == "columns":
        for n in range(count):
            pen.rectangle((across * n // count, 0, across * (n + 1) // count, down), colours[n])
    elif ground == "cross":
        at = across * (0.36 if count < 5 else 0.5)
        pen.rectangle((at - across * wide / 2, 0, at + across * wide / 2, down), colours[1])
        pen.rectangle((0, down / 2 - across * wide / 2, across, down / 2 + across * wide / 2), colours[1])
    elif ground == "saltire":
        pen.line((0, 0, across, down), colours[1], int(across * wide))
        pen.line((0, down, across, 0), colours[1], int(across * wide))
    elif ground == "hoist":
        pen.rectangle((0, down // 2, across, down), colours[2])
        pen.polygon(((0, 0), (across * (0.3 + wide), down / 2), (0, down)), colours[1])
    elif ground == "diagonal":
        pen.polygon(((0, 0), (across, 0), (0, down)), colours[1])
        pen.line((0, down, across, 0), colours[2], int(across * wide))
    _emblem(pen, design, shades[design["mark"]], colours[-1], across, down)
    return image.resize((ACROSS, DOWN), Image.Resampling.LANCZOS)


def _emblem(pen: ImageDraw.ImageDraw, design: dict, mark, second, across: int, down: int) -> None:
    x, y, r = design["place"][0] * across, design["place"][1] * down, design["size"] * down
    kind, box = design["emblem"], (x - r, y - r, x + r, y + r)
    if kind == "disc":
        pen.ellipse(box, mark)
    elif kind == "ring":
        pen.ellipse(box, None, mark, int(r / 3))
    elif kind == "crescent":
        pen.ellipse(box, mark)
        pen.ellipse((x - 0.5 * r, y - 0.8 * r, x + 1.1 * r, y + 0.8 * r), second)
    elif kind == "star":
        turns = [(math.pi * n / design["points"] - math.pi / 2, r if n % 2 == 0 else 0.42 * r)
                 for n in range(2 * design["points"])]  # fmt: skip
        pen.polygon([(x + s * math.cos(t), y + s * math.sin(t)) for t, s in turns], mark)
    elif kind == "triangle":
        pen.polygon(((x, y - r), (x + r, y + r), (x - r, y + r)), mark)
    elif kind == "canton":
        pen.rectangle((0, 0, 0.42 * across, 0.5 * down), mark)
        pen.ellipse((0.13 * across, 0.12 * down, 0.29 * across, 0.38 * down), second)
    elif kind == "bar":
        pen.rectangle((0, y - r / 2, across, y + r / 2), mark)


def _on_white(image: Image.Image, mask: Image.Image | None = None) -> Image.Image:
    ground = Image.new("RGB", (SIDE, SIDE), "white")
    ground.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2), mask)
    return ground


def _waved(flat: Image.Image, chance: random.Random) -> Image.Image:
    high, start = chance.uniform(4, 9), chance.uniform(-0.6, 0.6) + math.pi
    turns = np.linspace(start, start + 2 * math.pi * chance.uniform(0.8, 1.1), ACROSS)
    pixels = np.full((SIDE, SIDE, 3), 255.0)
    left, top = (SIDE - ACROSS) // 2, (SIDE - DOWN) // 2
    flat_pixels = np.asarray(flat, np.float64)
    for column, turn in enumerate(turns):
        shift = round(high * math.sin(turn))
        shaded = flat_pixels[:, column] * (1 - 0.12 * (0.5 + 0.5 * math.cos(turn)))
        pixels[top + shift : top + shift + DOWN, left + column] = shaded
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _rounded(flat: Image.Image) -> Image.Image:
    mask = Image.new("L", flat.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, ACROSS - 1, DOWN - 1), 10, 255)
    return _on_white(flat, mask)


def _framed(flat: Image.Image) -> Image.Image:
    smaller = flat.resize((ACROSS, 64), Image.Resampling.LANCZOS)
    ImageDraw.Draw(smaller).rectangle((0, 0, ACROSS - 1, 63), None, "black", 3)
    return _on_white(smaller)
