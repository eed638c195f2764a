"""Flat SVG drawings as pictures: shapes with plain fills and strokes, as OpenMoji has them, and nothing else.

Enough for that set alone; a drawing with anything else in it (gradients, clips, styles) is not drawn at all.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from okedit_cli.dataset.svg_path import Points, circle, matrix, numbers, subpaths

_DRAWN_AT = 4  # times the size wanted, made smaller at the end: that smooths edges
_MAX = 1 << 20  # bytes of a drawing
_PAINTED = ("path", "circle", "ellipse", "rect", "line", "polyline", "polygon")
_PASSED_OVER = ("title", "desc", "metadata", "namedview")


class NotFlat(ValueError):
    """A drawing that has more in it than flat shapes."""


@dataclass(frozen=True)
class _Style:
    fill: str = "#000"
    stroke: str = "none"
    width: float = 1.0
    cap: str = "butt"
    rule: str = "nonzero"
    opacity: float = 1.0


def draw(data: bytes, side: int) -> Image.Image:
    """The drawing as RGBA of side x side on clear ground. NotFlat: it has more in it than is known here."""
    if len(data) > _MAX or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise NotFlat("not a plain drawing")
    try:
        root = ElementTree.fromstring(data)
        left, top, width, height = numbers(root.get("viewBox", "0 0 72 72"))
        scale = side * _DRAWN_AT / max(width, height)
        sheet = Image.new("RGBA", (side * _DRAWN_AT, side * _DRAWN_AT), (0, 0, 0, 0))
        frame = np.array([[scale, 0, -left * scale], [0, scale, -top * scale], [0, 0, 1.0]])
        for child in root:
            sheet = _drawn(sheet, child, frame, _Style())
    except (ElementTree.ParseError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        raise NotFlat(str(error)) from None
    # premultiplied while it shrinks, or clear pixels would darken the edges
    return sheet.convert("RGBa").resize((side, side), Image.Resampling.BOX).convert("RGBA")


def _drawn(sheet: Image.Image, node: ElementTree.Element, frame: np.ndarray, style: _Style) -> Image.Image:
    tag = node.tag.rpartition("}")[2]
    if tag in _PASSED_OVER or node.get("display") == "none":
        return sheet
    if node.get("style") or node.get("class") or node.get("clip-path") or tag not in (*_PAINTED, "g"):
        raise NotFlat(f"has {tag} with more than flat colour")
    style = _inherited(style, node)
    frame = frame @ matrix(node.get("transform", ""))
    if tag == "g":
        for child in node:
            sheet = _drawn(sheet, child, frame, style)
        return sheet
    lines = [(_placed(points, frame), closed) for points, closed in _outline(tag, node)]
    if style.fill != "none" and tag != "line":
        sheet = _painted(
            sheet, _filled(sheet.size, [points for points, _ in lines], style.rule), style.fill, style
        )
    if style.stroke != "none" and style.width > 0:
        scale = math.sqrt(abs(np.linalg.det(frame[:2, :2])))
        sheet = _painted(
            sheet, _stroked(sheet.size, lines, style.width * scale, style.cap), style.stroke, style
        )
    return sheet


def _inherited(style: _Style, node: ElementTree.Element) -> _Style:
    return replace(
        style,
        fill=node.get("fill", style.fill),
        stroke=node.get("stroke", style.stroke),
        width=float(node.get("stroke-width", style.width)),
        cap=node.get("stroke-linecap", style.cap),
        rule=node.get("fill-rule", style.rule),
        opacity=style.opacity * float(node.get("opacity", 1)),
    )


def _outline(tag: str, node: ElementTree.Element) -> list[tuple[Points, bool]]:
    """The shape as lines: [(points, closed)] in its own units."""

    def number(name: str) -> float:
        return float(node.get(name, 0))

    if tag == "path":
        return subpaths(node.get("d", ""))
    if tag in ("circle", "ellipse"):
        across = number("r") if tag == "circle" else number("rx")
        down = number("r") if tag == "circle" else number("ry")
        return [(circle(number("cx"), number("cy"), across, down), True)]
    if tag == "line":
        return [([(number("x1"), number("y1")), (number("x2"), number("y2"))], False)]
    if tag == "rect":
        x, y, w, h = number("x"), number("y"), number("width"), number("height")
        r = min(float(node.get("rx", node.get("ry", 0))), w / 2, h / 2)
        if not r:
            return [([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], True)]
        corners = (
            (x + w - r, y + r, -90),
            (x + w - r, y + h - r, 0),
            (x + r, y + h - r, 90),
            (x + r, y + r, 180),
        )
        return [
            (
                [
                    (
                        cx + r * math.cos(math.radians(start + step)),
                        cy + r * math.sin(math.radians(start + step)),
                    )
                    for cx, cy, start in corners
                    for step in range(0, 91, 10)
                ],
                True,
            )
        ]
    flat = numbers(node.get("points", ""))
    return [(list(zip(flat[::2], flat[1::2], strict=True)), tag == "polygon")]


def _placed(points: Points, frame: np.ndarray) -> Points:
    if not points:
        return []
    placed = np.array([(x, y, 1.0) for x, y in points]) @ frame.T
    return [(float(x), float(y)) for x, y, _ in placed]


def _filled(size: tuple[int, int], lines: list[Points], rule: str) -> Image.Image:
    """The inside of the lines together as a mask, by winding number or by counting crossings."""
    winding = np.zeros(size[::-1], dtype=np.int16)
    for points in lines:
        if len(points) < 3:
            continue
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon(points, fill=1)
        area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, [*points[1:], points[0]], strict=True))
        winding += np.asarray(mask).astype(np.int16) * (1 if area >= 0 else -1)
    inside = winding % 2 != 0 if rule == "evenodd" else winding != 0
    return Image.fromarray((inside * 255).astype(np.uint8))


def _stroked(size: tuple[int, int], lines: list[tuple[Points, bool]], width: float, cap: str) -> Image.Image:
    mask = Image.new("L", size)
    pen, half = ImageDraw.Draw(mask), width / 2
    for points, closed in lines:
        if not points:
            continue
        path = [*points, points[0]] if closed else points
        pen.line(path, fill=255, width=max(1, round(width)))
        inner = path if closed or cap == "round" else path[1:-1]
        for x, y in inner:  # joins, and round ends
            pen.ellipse((x - half, y - half, x + half, y + half), fill=255)
    return mask


def _painted(sheet: Image.Image, mask: Image.Image, colour: str, style: _Style) -> Image.Image:
    paint = Image.new("RGBA", sheet.size, ImageColor.getrgb(colour))
    if style.opacity < 1:
        mask = mask.point(lambda value: round(value * style.opacity))
    paint.putalpha(mask)
    return Image.alpha_composite(sheet, paint)
