"""Render every artist's drawing of every thing to RGBA PNG: drawings.py NODE_MODULES OUT [--size 192].

Artists: noto, noto-v1, openmoji, fluent-3d, fluent-flat, fluent-modern, fxemoji, emojione, emojione-v1,
streamline; twemoji is rendered too and never trained on.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import resvg_py
from PIL import Image
from things import Thing, emoji_things, normal_key

HELD_OUT_ARTIST = "twemoji"


def slug(text: str) -> str:
    """'flag: Côte d’Ivoire' -> 'flag-cote-divoire': the spelling iconify uses for icon names."""
    import unicodedata

    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("'", "")).strip("-")


def from_svg(svg: str, size: int) -> Image.Image:
    """SVG text -> RGBA picture that fits size x size."""
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size)))).convert("RGBA")


def datasource(root: Path, vendor: str) -> Callable[[Thing, int], Image.Image | None]:
    """Artwork of an emoji-datasource package (64 px PNG)."""
    rows = json.loads((root / "emoji.json").read_text())
    files = {normal_key(r["unified"]): root / f"img/{vendor}/64" / r["image"] for r in rows}
    files |= {
        normal_key(r["non_qualified"]): root / f"img/{vendor}/64" / r["image"]
        for r in rows
        if r.get("non_qualified")
    }

    def draw(thing: Thing, size: int) -> Image.Image | None:
        path = files.get(thing.key)
        return Image.open(path).convert("RGBA").resize((size, size), 3) if path and path.exists() else None

    return draw


def folder(root: Path, suffix: str) -> Callable[[Thing, int], Image.Image | None]:
    """Artwork in a folder of files named by code points."""
    files = {normal_key(p.stem): p for p in root.glob(f"*{suffix}")}

    def draw(thing: Thing, size: int) -> Image.Image | None:
        path = files.get(thing.key)
        if path is None:
            return None
        if suffix == ".svg":
            return from_svg(path.read_text(), size)
        return Image.open(path).convert("RGBA").resize((size, size), 3)

    return draw


def iconify(root: Path) -> Callable[[Thing, int], Image.Image | None]:
    """Artwork of an @iconify-json package, found by the name's slug, squashed slug or shortcode."""
    data = json.loads((root / "icons.json").read_text())
    icons = dict(data["icons"])
    icons |= {
        k: data["icons"][v["parent"]]
        for k, v in data.get("aliases", {}).items()
        if v.get("parent") in data["icons"]
    }
    squashed = {k.replace("-", ""): v for k, v in icons.items()}
    side = data.get("width", 16)

    def draw(thing: Thing, size: int) -> Image.Image | None:
        label = slug(thing.label)
        names = [
            label,
            label.replace("flag-", "flag-for-", 1),
            slug(thing.name),
            thing.shortcode.replace("_", "-"),
        ]
        icon = next((icons[n] for n in names if n in icons), None)
        icon = icon or squashed.get(label.replace("-", "")) or squashed.get(thing.shortcode.replace("_", ""))
        if icon is None:
            return None
        w, h = icon.get("width", side), icon.get("height", data.get("height", side))
        spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        head = f'<svg {spaces} viewBox="0 0 {w} {h}">'
        return from_svg(head + icon["body"] + "</svg>", size)

    return draw


def artists(modules: Path) -> dict[str, Callable[[Thing, int], Image.Image | None]]:
    """Artist name -> drawing function, for a node_modules folder that holds the packages."""
    fluent = modules / "@lobehub"
    table = {
        "noto": datasource(modules / "emoji-datasource-google", "google"),
        HELD_OUT_ARTIST: datasource(modules / "emoji-datasource-twitter", "twitter"),
        "openmoji": folder(modules / "openmoji/color/svg", ".svg"),
        "fluent-3d": folder(fluent / "fluent-emoji-3d/assets", ".webp"),
        "fluent-flat": folder(fluent / "fluent-emoji-flat/assets", ".svg"),
        "fluent-modern": folder(fluent / "fluent-emoji-modern/assets", ".svg"),
    }
    for name in ("fxemoji", "noto-v1", "emojione", "emojione-v1", "streamline-emojis"):
        table[name] = iconify(modules / "@iconify-json" / name)
    return table


def square(picture: Image.Image, size: int) -> Image.Image:
    """Centre an RGBA picture on a transparent square."""
    picture.thumbnail((size, size))
    out = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    out.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return out


def main() -> None:
    """Render all; index.jsonl lists artist, file, name, kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=192)
    args = parser.parse_args()
    things = emoji_things(args.modules / "emojibase-data")
    rows: list[dict] = []

    def render() -> Iterator[dict]:
        for artist, draw in artists(args.modules).items():
            (args.out / artist).mkdir(parents=True, exist_ok=True)
            for thing in things:
                try:
                    picture = draw(thing, args.size)
                except (ValueError, OSError):
                    picture = None
                if picture is None or picture.getextrema()[3][1] < 128:
                    continue
                path = args.out / artist / f"{thing.key}.png"
                square(picture, args.size).save(path)
                yield {
                    "artist": artist,
                    "path": f"{artist}/{path.name}",
                    "name": thing.name,
                    "kind": thing.kind,
                }

    for row in render():
        rows.append(row)
    (args.out / "index.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for artist in sorted({r["artist"] for r in rows}):
        print(artist, sum(r["artist"] == artist for r in rows))
    print("things", len({r["name"] for r in rows}), "of", len(things))


if __name__ == "__main__":
    main()
