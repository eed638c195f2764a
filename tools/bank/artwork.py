"""Artwork of npm packages as pictures: Noto (two editions), Fluent, flag-icons.

Sources, fetched with `npm install` into one node_modules folder: @iconify-json/noto@1.2.9,
@iconify-json/noto-v1, @lobehub/fluent-emoji-3d@1.1.0, @lobehub/fluent-emoji-flat@1.1.0, flag-icons and
emoji-datasource-google@16.0.0 (64 px, for flags as Noto draws them). SVG needs resvg_py.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path

import resvg_py
from PIL import Image


class Artwork:
    """Pictures by "set:id" ("noto:tiger", "fluent:1f42f", "fluent-flat:1f42f", "flag:ke"), RGB on white."""

    def __init__(self, modules: Path) -> None:
        self.modules = modules

    def draw(self, name: str, side: int) -> Image.Image:
        """The picture on a white square of `side` pixels with a narrow margin."""
        kind, _, key = name.partition(":")
        inner = round(side * 0.94)
        if kind == "fluent":
            picture = Image.open(self.modules / f"@lobehub/fluent-emoji-3d/assets/{key}.webp").convert("RGBA")
        elif kind == "fluent-flat":
            path = self.modules / f"@lobehub/fluent-emoji-flat/assets/{key}.svg"
            picture = _from_svg(path.read_text(encoding="utf-8"), inner)
        elif kind == "noto-png":
            path = self.modules / f"emoji-datasource-google/img/google/64/{key}.png"
            picture = Image.open(path).convert("RGBA")
        elif kind == "flag":
            picture = _from_svg((self.modules / f"flag-icons/flags/4x3/{key}.svg").read_text("utf-8"), inner)
        elif kind in ("noto", "noto-v1"):
            picture = _from_svg(self._icon(kind, key), inner)
        else:
            raise KeyError(name)
        scale = inner / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
        page = Image.new("RGB", (side, side), "white")
        page.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2), picture)
        return page

    def _icon(self, kind: str, key: str) -> str:
        data = _icons(self.modules / f"@iconify-json/{kind}/icons.json")
        icon = data["icons"].get(key) or data["icons"][data["aliases"][key]["parent"]]
        width, height = icon.get("width", data.get("width", 16)), icon.get("height", data.get("height", 16))
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {names} viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


@cache
def _icons(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _from_svg(svg: str, side: int) -> Image.Image:
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side)))).convert("RGBA")
