"""How well okedit_cli.scope.views tells views of a stored picture from other pictures: a table.

    python tools/scope/judge_views.py --photographs FOLDER --drawings FOLDER [--half report] [--show]

The photographs' folder holds index.json (file, thing, kind, group of each); its things are halved, and
constants may be set on the half "calibration" alone. The drawings' folder holds fit/ and test/, which are
the halves of the drawings. Signs, dialogs, price tags and charts are drawn here, from other seeds for each
half. What went wrong is listed with --show.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from okedit_cli.scope.views import compare, decode_view, describe, encode_view, is_view

SIZES = (224, 320, 512, 768, 1024)  # px of the longer side of queries
FONTS = sorted(Path("/usr/share/fonts/truetype/dejavu").glob("DejaVu*.ttf"))
PLAIN = [f for f in FONTS if "Math" not in f.name and "ExtraLight" not in f.name]
WORDS = (
    "private public closed open danger caution warning parking loading exit entry staff visitors deliveries"
    " high voltage toxic hot wet floor stairs lift door gate garden north south east west platform track"
    " monday tuesday friday sunday morning evening bread butter cheese apples coffee tea sugar honey paper"
    " network printer server disk memory file folder account password session update backup report total"
).split()


def colour(rng: random.Random, light: bool) -> tuple[int, ...]:
    return tuple(rng.randint(190, 255) if light else rng.randint(0, 90) for _ in range(3))


def pair(rng: random.Random, digit: bool) -> tuple[list[str], list[str]]:
    """The words of a page, and the same ones with one word (or one digit of a number) exchanged."""
    words = rng.sample(WORDS, 9)
    words[0] = f"{rng.randint(10, 99)}" if digit else words[0]
    other = list(words)
    if digit:
        k = rng.randint(0, 1)
        new = rng.choice([d for d in "0123456789" if d != words[0][k] and not (k == 0 and d == "0")])
        other[0] = words[0][:k] + new + words[0][k + 1 :]
    else:
        other[0] = rng.choice([w for w in WORDS if w not in words])
    return words, other


def page(seed: int, kind: str, words: list[str]) -> Image.Image:
    """A picture of that kind of about 1000 px; its layout comes from the seed, its words from words."""
    rng = random.Random(seed)
    width, height = rng.choice([(1000, 700), (900, 900), (1000, 560), (700, 1000)])
    light, dark = colour(rng, True), colour(rng, False)
    if rng.random() < 0.3:
        light, dark = dark, light
    face = str(rng.choice(PLAIN))
    image = Image.new("RGB", (width, height), light)
    draw = ImageDraw.Draw(image)

    def write(x: float, y: float, text: str, size: float, fill=dark) -> None:
        draw.text((x * width, y * height), text, fill=fill, font=ImageFont.truetype(face, int(size * 1000)))

    if kind == "sign":
        draw.rounded_rectangle((20, 20, width - 20, height - 20), 40, outline=dark, width=rng.randint(6, 18))
        if rng.random() < 0.6:
            write(0.08, 0.1, words[1].upper(), 0.09)
        write(0.08, 0.35, words[0].upper(), rng.uniform(0.08, 0.12))
        write(0.08, 0.6, " ".join(words[2:4]), 0.06)
        write(0.08, 0.78, " ".join(words[4:6]), 0.04)
    elif kind == "hazard":
        draw.polygon(
            [(width / 2, 30), (width - 60, height * 0.62), (60, height * 0.62)], outline=dark, width=22
        )
        draw.ellipse((width / 2 - 25, height * 0.5, width / 2 + 25, height * 0.5 + 50), fill=dark)
        draw.polygon(
            [(width / 2 - 30, height * 0.22), (width / 2 + 30, height * 0.22), (width / 2, height * 0.48)],
            fill=dark,
        )
        write(0.1, 0.66, words[0].upper(), rng.uniform(0.08, 0.11))
        write(0.1, 0.84, " ".join(words[2:5]), 0.04)
    elif kind == "dialog":
        draw.rectangle((0, 0, width, height * 0.12), fill=dark)
        write(0.03, 0.03, words[1].capitalize() + " error", 0.04, light)
        draw.ellipse((width * 0.05, height * 0.3, width * 0.05 + 110, height * 0.3 + 110), fill=(200, 40, 40))
        write(0.22, 0.25, f"The {words[2]} {words[3]}", 0.045)
        write(0.22, 0.38, f"{words[0]} could not", 0.045)
        write(0.22, 0.51, f"be found in {words[4]}", 0.045)
        for x, text in ((0.45, "Retry"), (0.7, "Cancel")):
            draw.rectangle(
                (x * width, 0.8 * height, (x + 0.22) * width, 0.93 * height), outline=dark, width=3
            )
            write(x + 0.03, 0.82, text, 0.04)
    elif kind == "price":
        write(0.06, 0.06, " ".join(words[1:3]).capitalize(), 0.07)
        if words[0].isdigit():
            write(0.1, 0.25, f"{words[0]}.{rng.randint(10, 99)}", 0.2)
        else:
            write(0.1, 0.25, f"{rng.randint(1, 9)}.{rng.randint(10, 99)}", 0.2)
            write(0.06, 0.55, words[0], 0.07)
        for k in range(40):
            x = width * (0.1 + 0.015 * k)
            draw.rectangle((x, height * 0.75, x + rng.randint(2, 10), height * 0.92), fill=dark)
    else:
        write(0.06, 0.03, f"{words[1]} {words[2]} {words[0]}".capitalize(), 0.055)
        draw.line(
            (0.1 * width, 0.15 * height, 0.1 * width, 0.85 * height, 0.95 * width, 0.85 * height), dark, 4
        )
        for k in range(5):
            top = rng.uniform(0.2, 0.75)
            x = 0.14 + 0.16 * k
            draw.rectangle(
                (x * width, top * height, (x + 0.1) * width, 0.85 * height), fill=(60, 90 + 20 * k, 160)
            )
            write(x, 0.88, words[3 + k][:4], 0.035)
    return image


# ---- views


def fill(rng: random.Random) -> tuple[int, ...]:
    return rng.choice([(255, 255, 255), (0, 0, 0), tuple(rng.randint(0, 255) for _ in range(3))])


def cropped(image: Image.Image, rng: random.Random, area: float) -> Image.Image:
    w, h = image.size
    stretch = rng.uniform(0.9, 1.1)
    cw, ch = (min(1, area**0.5 * f) for f in (stretch, 1 / stretch))
    x, y = rng.uniform(0, 1 - cw) * w, rng.uniform(0, 1 - ch) * h
    return image.crop((int(x), int(y), int(x + cw * w), int(y + ch * h)))


def turned(image: Image.Image, rng: random.Random) -> Image.Image:
    angle = rng.choice([-1, 1]) * rng.uniform(5, 15)
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=rng.random() < 0.5, fillcolor=fill(rng))


def screen(image: Image.Image, rng: random.Random) -> Image.Image:
    w, h = image.size
    f = rng.uniform(1.3, 1.8)
    canvas = Image.new("RGB", (int(w * f * rng.uniform(1, 1.2)), int(h * f)), fill(rng))
    draw = ImageDraw.Draw(canvas)
    cw, ch = canvas.size
    size = max(8, ch // 25)
    font = ImageFont.truetype(str(rng.choice(PLAIN)), size)
    ink = tuple(255 - c for c in canvas.getpixel((0, 0)))
    for y in range(size, ch, 2 * size):
        draw.text((size, y), " ".join(rng.sample(WORDS, 9)), fill=ink, font=font)
    draw.rectangle((0, 0, cw, ch // 16), fill=(90, 90, 100))
    x, y = rng.randint(0, cw - w), rng.randint(ch // 16, ch - h)
    canvas.paste(image, (x, y))
    return canvas


def tilted(image: Image.Image, rng: random.Random) -> Image.Image:
    w, h = image.size
    corners = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
    moved = corners + np.float32([[rng.uniform(-0.05, 0.05) * s for s in (w, h)] for _ in range(4)])
    matrix = cv2.getPerspectiveTransform(corners, moved)
    return Image.fromarray(cv2.warpPerspective(np.array(image), matrix, (w, h), borderValue=fill(rng)))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def grainy(image: Image.Image, rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.randint(0, 1 << 30)).normal(0, 8, (*image.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def scaled(image: Image.Image, longest: int) -> Image.Image:
    f = longest / max(image.size)
    return image.resize([max(1, round(s * f)) for s in image.size], Image.Resampling.BICUBIC)


# each takes a picture, the px of its longer side, and a source of chance; those of the second table act
# on the picture as it is sent
BEFORE = {
    "same": lambda i, r: i,
    "crop to 60 %": lambda i, r: cropped(i, r, 0.6),
    "crop to 80 %": lambda i, r: cropped(i, r, 0.8),
    "turned 5-15": turned,
    "quarter turn": lambda i, r: i.transpose(
        r.choice([Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
    ),
    "mirrored": lambda i, r: ImageOps.mirror(i),
    "border": lambda i, r: ImageOps.expand(i, int(max(i.size) * r.uniform(0.05, 0.15)), fill(r)),
    "screenshot": screen,
    "perspective": tilted,
    "grey": lambda i, r: ImageOps.grayscale(i).convert("RGB"),
    "brighter": lambda i, r: ImageEnhance.Brightness(i).enhance(r.uniform(1.2, 1.4)),
    "darker": lambda i, r: ImageEnhance.Brightness(i).enhance(r.uniform(0.5, 0.8)),
    "contrast": lambda i, r: ImageEnhance.Contrast(i).enhance(r.choice([0.6, 1.4])),
}
AFTER = {
    "recompressed": lambda i, r: compressed(i, 25),
    "blurred": lambda i, r: i.filter(ImageFilter.GaussianBlur(max(i.size) / 320)),
    "grainy": grainy,
    "128 px": lambda i, r: scaled(i, 128),
}
VIEWS = (*BEFORE, *AFTER, "crop+jpeg", "mirror+turn")


def view(image: Image.Image, name: str, rng: random.Random) -> np.ndarray:
    size = rng.choice(SIZES)
    if name == "crop+jpeg":
        image = compressed(scaled(cropped(image, rng, 0.7), size), 40)
    elif name == "mirror+turn":
        image = scaled(turned(ImageOps.mirror(image), rng), size)
    elif name in BEFORE:
        image = compressed(scaled(BEFORE[name](image, rng), size), 85)
    else:
        image = AFTER[name](scaled(image, size), rng)
    return np.asarray(image)


# ---- measuring


class Bench:
    """Counts answers, and the time that they took (ms of this process)."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter] = defaultdict(Counter)
        self.wrong: list[str] = []
        self.ms: dict[str, list[float]] = defaultdict(list)

    def timed(self, name, function, *given):
        start = time.process_time()
        result = function(*given)
        self.ms[name].append((time.process_time() - start) * 1000)
        return result

    def stored(self, image: Image.Image):
        picture = decode_view(encode_view(np.asarray(image)))
        return self.timed("describe, stored", describe, picture)

    def ask(self, group: str, name: str, label: str, stored, query: np.ndarray, expected: bool) -> None:
        described = self.timed("describe, query", describe, query)
        evidence = self.timed("compare", compare, stored, described)
        answer = is_view(evidence)
        self.counts[group, name][answer] += 1
        if answer is not expected:
            self.wrong.append(f"{group:16} {name:14} {label:50} {query.shape[1]}x{query.shape[0]} {evidence}")

    def print(self, show: bool) -> None:
        print(f"{'pictures':16} {'query':22} {'n':>6} {'view':>8} {'no view':>8} {'None':>8}")
        for (group, name), n in self.counts.items():
            shares = (f"{100 * n[k] / n.total():7.2f}%" for k in (True, False, None))
            print(f"{group:16} {name:22} {n.total():6}", *shares)
        for name, ms in self.ms.items():
            print(f"{name:18} ms: median {np.median(ms):5.1f}  95 % {np.percentile(ms, 95):5.1f}")
        if show:
            print(*self.wrong, sep="\n")


def things(folder: Path, half: str) -> dict[tuple, list[Path]]:
    found = defaultdict(list)
    for entry in json.loads((folder / "index.json").read_text()):
        found[entry["group"], entry["kind"], entry["thing"]].append(folder / entry["file"])
    return {t: found[t] for t in sorted(found)[half == "report" :: 2]}


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def judge_photographs(bench: Bench, folder: Path, half: str, each: int) -> None:
    rng = random.Random(half)
    everything = things(folder, half)
    for thing, files in everything.items():
        kin = [f for t, fs in everything.items() if t[:2] == thing[:2] and t != thing for f in fs]
        for n, file in enumerate(files):
            image = opened(file)
            stored = bench.stored(image)
            if n % 12 < each:
                for name in VIEWS:
                    bench.ask("photograph", name, file.name, stored, view(image, name, rng), True)
            for name, others in (
                ("other, same thing", files),
                ("other, same kind", rng.sample(kin, min(4, len(kin)))),
            ):
                for other in others:
                    if other != file:
                        query = np.asarray(scaled(opened(other), rng.choice(SIZES)))
                        bench.ask("photograph", name, f"{file.name} {other.name}", stored, query, False)


def judge_pages(bench: Bench, half: str, count: int) -> None:
    for kind in ("sign", "hazard", "dialog", "price", "chart"):
        for number in range(count):
            digit = number % 2 == 1
            seed = (1 << 20) * (half == "report") + number
            rng = random.Random(f"{kind} {seed}")
            words, other = pair(rng, digit)
            image, changed = page(seed, kind, words), page(seed, kind, other)
            stored = bench.stored(image)
            for name in VIEWS if number % 2 == 0 else ("same",):
                bench.ask(kind, name, f"{words[0]}", stored, view(image, name, rng), True)
            for name in ("same", "recompressed", "turned 5-15", "crop+jpeg"):
                query = view(changed, name, rng)
                if name == "crop+jpeg":
                    query = np.asarray(scaled(changed, rng.choice(SIZES)))
                label = f"{words[0]} {other[0]} {number}"
                bench.ask(kind, "other digit" if digit else "other word", label, stored, query, False)


def judge_drawings(bench: Bench, folder: Path, half: str, count: int) -> None:
    rng = random.Random(half)
    base = folder / {"calibration": "fit", "report": "test"}[half]
    for kind in sorted(p for p in base.iterdir() if p.is_dir() and p.name != "near"):
        folders = sorted(p for p in kind.iterdir() if p.is_dir())
        files = [next(iter(sorted(p.glob("*.png"))), None) or sorted(p.iterdir())[0] for p in folders]
        files = rng.sample(files, min(count, len(files)))
        for file in files:
            image = opened(file)
            stored = bench.stored(image)
            label = file.parent.name
            for name in VIEWS:
                bench.ask(f"{kind.name}, tiny", name, label, stored, view(image, name, rng), True)
            for other in rng.sample(files, min(12, len(files))):
                if other != file:
                    query = np.asarray(scaled(opened(other), rng.choice(SIZES)))
                    bench.ask(
                        f"{kind.name}, tiny", "another", f"{label} {other.parent.name}", stored, query, False
                    )


def main() -> Bench:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, help="folder of photographs with an index.json")
    parser.add_argument("--drawings", type=Path, help="folder of drawings with fit/ and test/")
    parser.add_argument("--half", choices=["calibration", "report"], default="calibration")
    parser.add_argument("--each", type=int, default=3, help="photographs of each 12 whose views are made")
    parser.add_argument("--pages", type=int, default=40, help="signs, dialogs, ... of each kind")
    parser.add_argument("--count", type=int, default=30, help="drawings of each kind")
    parser.add_argument("--show", action="store_true", help="list the wrong answers")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    bench = Bench()
    if given.photographs:
        judge_photographs(bench, given.photographs, given.half, given.each)
    judge_pages(bench, given.half, given.pages)
    if given.drawings:
        judge_drawings(bench, given.drawings, given.half, given.count)
    bench.print(given.show)
    return bench


if __name__ == "__main__":
    main()
