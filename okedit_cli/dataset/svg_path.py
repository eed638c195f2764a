"""Outlines of SVG as lines of points: path data, circles, transforms."""

from __future__ import annotations

import math
import re

import numpy as np

Points = list[tuple[float, float]]

_TOKEN = re.compile(r"[MmLlHhVvCcSsQqTtAaZz]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ARC = re.compile(r"[Aa]([^MmLlHhVvCcSsQqTtAaZz]*)")
_TRANSFORM = re.compile(r"(\w+)\s*\(([^)]*)\)")
_TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
_STEPS = 12  # lines that a curve becomes
_ONE = r"[\s,]*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_ARC_BEGIN = re.compile(_ONE * 3 + r"[\s,]*([01])[\s,]*([01])" + _ONE * 2)


def numbers(text: str) -> list[float]:
    return [float(match) for match in _NUMBER.findall(text)]


def matrix(text: str) -> np.ndarray:
    """A transform attribute as [3, 3]. ValueError: one that is not known."""
    whole = np.eye(3)
    for name, inside in _TRANSFORM.findall(text):
        given = numbers(inside)
        one = np.eye(3)
        if name == "matrix":
            one[:2] = np.array(given).reshape(3, 2).T
        elif name == "translate":
            one[:2, 2] = given[0], given[1] if len(given) > 1 else 0
        elif name == "scale":
            one[0, 0], one[1, 1] = given[0], given[-1]
        elif name == "rotate":
            cos, sin = math.cos(math.radians(given[0])), math.sin(math.radians(given[0]))
            one[:2, :2] = [[cos, -sin], [sin, cos]]
            if len(given) == 3:
                centre = np.array(given[1:])
                one[:2, 2] = centre - one[:2, :2] @ centre
        else:
            raise ValueError(f"transform {name}")
        whole = whole @ one
    return whole


def circle(x: float, y: float, across: float, down: float) -> Points:
    turns = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    return [(x + across * math.cos(turn), y + down * math.sin(turn)) for turn in turns]


def subpaths(data: str) -> list[tuple[Points, bool]]:
    """Path data as [(points, closed)], curves as short lines. ValueError, IndexError: no path data."""
    tokens = _TOKEN.findall(_ARC.sub(lambda match: match[0][0] + _apart(match[1]), data))
    found: list[tuple[Points, bool]] = []
    points: Points = []
    place, command, before = 0, "", ""
    here = start = control = (0.0, 0.0)
    while place < len(tokens):
        if tokens[place].isalpha():
            command = tokens[place]
            place += 1
        if command in "Zz":
            if points:
                found.append((points, True))
            points, here, before = [], start, "Z"
            continue
        kind, count = command.upper(), _TAKES[command.upper()]
        given = [float(token) for token in tokens[place : place + count]]
        if len(given) < count:
            raise ValueError("a path that breaks off")
        place += count
        if command.islower():
            given = _absolute(kind, given, here)
        if kind == "M":
            if points:
                found.append((points, False))
            here = start = (given[0], given[1])
            points, command = [here], "l" if command == "m" else "L"
        else:
            points = points or [here]
            smooth = before in (("C", "S") if kind == "S" else ("Q", "T"))
            points += _segment(kind, given, here, _mirrored(here, control) if smooth else here)
            control = _control(kind, given, here, _mirrored(here, control) if smooth else here)
            here = points[-1]
        before = kind
    if points:
        found.append((points, False))
    return found


def _apart(text: str) -> str:
    """Arguments of arcs with their two flags set apart: "1 1 0 012 3" is 1 1 0 0 1 2 3."""
    out, place = [], 0
    while match := _ARC_BEGIN.match(text, place):
        out += match.groups()
        place = match.end()
    return " " + " ".join(out) + " "


def _absolute(kind: str, given: list[float], here: tuple[float, float]) -> list[float]:
    if kind == "H":
        return [given[0] + here[0]]
    if kind == "V":
        return [given[0] + here[1]]
    if kind == "A":
        return [*given[:5], given[5] + here[0], given[6] + here[1]]
    return [value + here[number % 2] for number, value in enumerate(given)]


def _mirrored(here: tuple[float, float], control: tuple[float, float]) -> tuple[float, float]:
    return (2 * here[0] - control[0], 2 * here[1] - control[1])


def _control(kind: str, given: list[float], here: tuple, first: tuple) -> tuple[float, float]:
    """The control point that a smooth curve after this one goes on from."""
    if kind in "CS":
        return (given[-4], given[-3])
    return (given[0], given[1]) if kind == "Q" else first if kind == "T" else here


def _segment(kind: str, given: list[float], here: tuple, first: tuple) -> Points:
    """The points after `here`; `first` is a smooth curve's control point."""
    if kind == "L":
        return [(given[0], given[1])]
    if kind == "H":
        return [(given[0], here[1])]
    if kind == "V":
        return [(here[0], given[0])]
    if kind == "A":
        return _arc(here, *given)
    pairs = list(zip(given[::2], given[1::2], strict=True))
    return _bezier([here, *([first] if kind in "ST" else []), *pairs])


def _bezier(points: Points) -> Points:
    """A curve of any degree by its control points, without the first of its points."""
    found = []
    for step in range(1, _STEPS + 1):
        share, left = step / _STEPS, list(points)
        while len(left) > 1:
            left = [
                (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
                for a, b in zip(left[:-1], left[1:], strict=True)
            ]
        found.append(left[0])
    return found


def _arc(
    here: tuple[float, float],
    rx: float,
    ry: float,
    turn: float,
    large: float,
    sweep: float,
    x: float,
    y: float,
) -> Points:
    """An elliptical arc, by the end points' form of SVG 1.1 F.6.5."""
    rx, ry = abs(rx), abs(ry)
    if not rx or not ry or here == (x, y):
        return [(x, y)]
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    dx, dy = (here[0] - x) / 2, (here[1] - y) / 2
    u, v = cos * dx + sin * dy, -sin * dx + cos * dy
    grow = max(1.0, math.sqrt((u / rx) ** 2 + (v / ry) ** 2))
    rx, ry = rx * grow, ry * grow
    under = (rx * ry) ** 2 - (rx * v) ** 2 - (ry * u) ** 2
    root = math.sqrt(max(0.0, under) / ((rx * v) ** 2 + (ry * u) ** 2))
    root = -root if bool(large) == bool(sweep) else root
    cu, cv = root * rx * v / ry, -root * ry * u / rx
    cx, cy = cos * cu - sin * cv + (here[0] + x) / 2, sin * cu + cos * cv + (here[1] + y) / 2
    begin = math.atan2((v - cv) / ry, (u - cu) / rx)
    span = math.atan2((-v - cv) / ry, (-u - cu) / rx) - begin
    if sweep and span < 0:
        span += 2 * math.pi
    elif not sweep and span > 0:
        span -= 2 * math.pi
    found = []
    for step in range(1, 2 * _STEPS + 1):
        angle = begin + span * step / (2 * _STEPS)
        u, v = rx * math.cos(angle), ry * math.sin(angle)
        found.append((cx + cos * u - sin * v, cy + sin * u + cos * v))
    found[-1] = (x, y)
    return found
