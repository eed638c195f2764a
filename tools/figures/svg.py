"""The plane of an edit's reach as SVG text: mid tones that are read on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from tools.figures.reach import Point

SIDE, LEFT, TOP, WIDE, HIGH = 380, 78, 66, 780, 516  # of the plane, its place, the whole picture
PAD = 12  # around the plane, so that what lies on its border lies on no line
FIRED, SILENT, BOX, INK = "#2a78d6", "#c4671b", "#2a78d6", "#6e7781"
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
# where the viewer tells which ground it has, words get its own ink
STYLE = """<style>
  @media (prefers-color-scheme: light) { .ink { fill: #3d444d } }
  @media (prefers-color-scheme: dark) { .ink { fill: #c9d1d9 } }
</style>"""
R = 5.0
# group -> its mark around 0, 0; groups in the order of the legend
MARKS = {
    "own question": f'<path d="M0 {-1.9 * R}L{1.9 * R} 0L0 {1.9 * R}L{-1.9 * R} 0Z"/>',
    "other wordings": f'<circle r="{R}"/>',
    "views of the picture": f'<rect x="{-R}" y="{-R}" width="{2 * R}" height="{2 * R}"/>',
    "another artist's drawing": f'<path d="M0 {-1.3 * R}L{1.3 * R} {R}L{-1.3 * R} {R}Z"/>',
    "near thing": f'<path d="M{-R} {-R}L{R} {R}M{R} {-R}L{-R} {R}"/>',
    "other questions about the picture": f'<path d="M0 {1.3 * R}L{1.3 * R} {-R}L{-1.3 * R} {-R}Z"/>',
    "any other picture, or none": f'<path d="M{-1.3 * R} 0H{1.3 * R}M0 {-1.3 * R}V{1.3 * R}"/>',
}


def drawn(points: Sequence[Point], elsewhere: int, prompt: str, target: str, far: float) -> str:
    """The whole picture of points in a plane from 0 to `far` radii; `elsewhere` are not in it."""
    said = f"“{_short(prompt)}” → {_short(target)}" if target else f"“{_short(prompt)}”"
    fired = sum(point.fired for point in points)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}"'
            f' height="{HIGH}" font-family="{FONT}" font-size="13" role="img">',
            f"<title>How far an edit reaches: {escape(said)}</title>",
            f"<desc>{len(points)} questions by the distance of their picture and of their words; "
            f"the edit fired for {fired}.</desc>",
            STYLE,
            _text(LEFT, 28, said, size=15, weight=600),
            *_plane(far),
            *(_dot(point, far) for point in sorted(points, key=_depth)),
            *_legend(points, elsewhere),
            "</svg>\n",
        ]
    )


def _depth(point: Point) -> int:
    """The edit's own question lies on top."""
    return -list(MARKS).index(point.group)


def _at(point: Point, far: float) -> tuple[float, float]:
    return LEFT + SIDE * point.picture / far, TOP + SIDE * (1 - point.question / far)


def _plane(far: float) -> list[str]:
    """The frame, the reach, and both axes."""
    one, bottom = SIDE / far, TOP + SIDE
    whole = SIDE + 2 * PAD
    out = [
        f'<rect x="{LEFT - PAD}" y="{TOP - PAD}" width="{whole}" height="{whole}" fill="none" stroke="{INK}"'
        ' stroke-opacity="0.6" stroke-dasharray="2 4"/>',
        f'<rect x="{LEFT}" y="{bottom - one:g}" width="{one:g}" height="{one:g}" fill="{BOX}"'
        f' fill-opacity="0.13" stroke="{BOX}" stroke-width="1.5"/>',
        _text(LEFT + one - 8, bottom - one + 19, "inside the reach", anchor="end", fill=BOX, size=12),
        _text(LEFT + SIDE / 2, bottom + PAD + 42, "picture distance / picture radius", anchor="middle"),
        _text(20, TOP + SIDE / 2, "question distance / question radius", anchor="middle", turned=True),
    ]
    for value in (0, 0.5, 1, 1.5, 2):
        step = SIDE * value / far
        label = f"{value:g}" if value < far else f"≥ {value:g}"
        out.append(_text(LEFT + step, bottom + PAD + 20, label, anchor="middle", size=12))
        out.append(_text(LEFT - PAD - 8, bottom - step + 4, label, anchor="end", size=12))
    return out


def _dot(point: Point, far: float) -> str:
    """One question with its words as a tooltip."""
    x, y = _at(point, far)
    words = escape(f"{point.group}: {point.words} ({'fired' if point.fired else 'did not fire'})")
    return f"<g {_place(x, y)} {_paint(point.fired)}><title>{words}</title>{MARKS[point.group]}</g>"


def _place(x: float, y: float) -> str:
    return f'transform="translate({x:.1f} {y:.1f})"'


def _paint(fired: bool) -> str:
    """Filled and blue where the edit fired, an orange outline where it did not: not by colour alone."""
    colour = FIRED if fired else SILENT
    opacity = 0.55 if fired else 0
    return f'fill="{colour}" fill-opacity="{opacity}" stroke="{colour}" stroke-width="1.8"'


def _legend(points: Sequence[Point], elsewhere: int) -> list[str]:
    """Each kind of question with its mark, and how many of them fired."""
    x, y = LEFT + SIDE + 44, TOP + 8
    out = []
    for group, mark in MARKS.items():
        mine = [point.fired for point in points if point.group == group]
        if not mine:
            continue
        out.append(f"<g {_place(x, y)} {_paint(sum(mine) * 2 >= len(mine))}>{mark}</g>")
        out.append(_text(x + 20, y + 4, group))
        out.append(_text(x + 20, y + 20, f"{sum(mine)} of {len(mine)} fired", size=11.5))
        y += 45
    y += 6
    for fired, words in ((True, "fired: the edit answers"), (False, "did not: the model as it was")):
        out.append(f'<g {_place(x, y)} {_paint(fired)}><circle r="{R}"/></g>')
        out.append(_text(x + 20, y + 4, words, size=12))
        y += 22
    if elsewhere:
        out.append(_text(x - 8, y + 12, f"Not shown: {elsewhere} nearer to another edit.", size=11.5))
    return out


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: float = 13, weight: int = 400,
    fill: str = "", turned: bool = False,
) -> str:  # fmt: skip
    colour = f'fill="{fill}"' if fill else f'fill="{INK}" class="ink"'
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" font-weight="{weight}"'
        f" {colour}{turn}>{escape(words)}</text>"
    )


def _short(words: str, most: int = 60) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"
