"""Inline SVG: generality against locality, a point with bars for each stage of a result; and what strictness
does to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from okedit_cli.evaluate.report.table import mean_of
from okedit_cli.evaluate.result import Result
from okedit_cli.evaluate.strictness import AS_FITTED, Point

GENERAL, LOCAL = ("t_gen", "i_gen"), ("t_loc", "i_loc", "specificity", "near")
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0a7ea4", "#bf3989", "#57606a")
SIZE, LEFT, TOP, PLANE = (640, 440), 60, 20, 340
MANY = 24  # points; more could not be told apart


def trade_off(results: Sequence[Result]) -> str:
    """The plot as SVG, "" when no result has both sides."""
    points = []
    for result in results:
        for stage in result.stages:
            general = mean_of(result, stage, GENERAL, "contains")
            local = mean_of(result, stage, LOCAL, "same")
            if general is not None and local is not None:
                points.append((f"{result.name}, {stage}", local, general))
    if not points:
        return ""
    marks = "".join(_point(number, *point) for number, point in enumerate(points[:MANY]))
    height = max(SIZE[1], TOP + 20 * min(len(points), MANY) + 40)
    axes = _axes("locality: answers kept, %", "generality: target given, %")
    return _svg("generality against locality", axes + marks, height)


def strictness_curve(points: Sequence[Point]) -> str:
    """Both sides by strictness as SVG, "" without points."""
    if not points:
        return ""
    sides = (
        ("in scope: an edit fires", [point.reached for point in points]),
        ("outside: none fires", [point.left_alone for point in points]),
    )
    marks = [f'<path d="M{_x(AS_FITTED):.1f} {TOP}V{TOP + PLANE}" stroke="#57606a" stroke-dasharray="4"/>']
    for number, (label, values) in enumerate(sides):
        colour, row = COLOURS[number], TOP + 12 + 20 * number
        way = "L".join(
            f"{_x(point.strictness):.1f} {_y(value):.1f}" for point, value in zip(points, values, strict=True)
        )
        marks.append(
            f'<path d="M{way}" stroke="{colour}" stroke-width="2" fill="none"/>'
            f'<circle cx="{LEFT + PLANE + 24}" cy="{row - 4}" r="5" fill="{colour}"/>'
            f'<text x="{LEFT + PLANE + 36}" y="{row}">{escape(label)}</text>'
        )
        for point, value in zip(points, values, strict=True):
            text = f"strictness {point.strictness:.2f}, {label}: {100 * value:.1f} %"
            place = f'cx="{_x(point.strictness):.1f}" cy="{_y(value):.1f}" r="3"'
            marks.append(f'<circle {place} fill="{colour}"><title>{escape(text)}</title></circle>')
    axes = _axes("strictness, in hundredths (50: as fitted)", "questions, %")
    return _svg("what strictness lets in", axes + "".join(marks), SIZE[1])


def _svg(label: str, body: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {height}" role="img" '
        f'aria-label="{label}">{body}</svg>'
    )


def _x(value: float) -> float:
    return LEFT + PLANE * value


def _y(value: float) -> float:
    return TOP + PLANE * (1 - value)


def _axes(across: str, up: str) -> str:
    lines = []
    for step in range(0, 101, 25):
        x, y = _x(step / 100), _y(step / 100)
        lines.append(f'<path d="M{x:.1f} {TOP}V{TOP + PLANE}M{LEFT} {y:.1f}H{LEFT + PLANE}" class="grid"/>')
        lines.append(f'<text x="{x:.1f}" y="{TOP + PLANE + 18}" text-anchor="middle">{step}</text>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{step}</text>')
    middle, below = TOP + PLANE / 2, TOP + PLANE + 40
    return (
        "".join(lines)
        + f'<text x="{LEFT + PLANE / 2}" y="{below}" text-anchor="middle">{escape(across)}</text>'
        + f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">'
        + f"{escape(up)}</text>"
    )


def _point(
    number: int, name: str, local: tuple[float, float, float], general: tuple[float, float, float]
) -> str:
    colour = COLOURS[number % len(COLOURS)]
    x, y = _x(local[0]), _y(general[0])
    bars = f"M{_x(local[1]):.1f} {y:.1f}H{_x(local[2]):.1f}M{x:.1f} {_y(general[1]):.1f}V{_y(general[2]):.1f}"
    text = f"{name}: locality {100 * local[0]:.1f}, generality {100 * general[0]:.1f}"
    row = TOP + 12 + 20 * number
    label = name if len(name) <= 32 else name[:30] + "…"
    return (
        f'<path d="{bars}" stroke="{colour}" fill="none"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"><title>{escape(text)}</title></circle>'
        f'<circle cx="{LEFT + PLANE + 24}" cy="{row - 4}" r="5" fill="{colour}"/>'
        f'<text x="{LEFT + PLANE + 36}" y="{row}">{escape(label)}</text>'
    )
