"""How well do thumbnails tell views of a photograph from others? `python tools/mini/judge_thumbnails.py`

The photographs of judge_strangers.py, which nothing was made with: 300 are held as edits, each by the
thumbnail of its picture. Printed is by how much better than needed the data set's views agree with their own,
those that a fact gets, and 300 others with those of the edits that they resemble most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from judge_strangers import read

import okedit_cli
from okedit_cli.edits.alignment import agreement, needed, rough
from okedit_cli.models.encode import encode_row
from okedit_cli.models.thumbnails import SIDE, thumbnails_of

COMPARED = 16  # edits that each of the others is compared with
SHARES = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)


def told(name: str, better: list[float]) -> None:
    """Print how the agreements of one sort lie."""
    found = torch.tensor(better)
    lie = ", ".join(f"{share:.1%} {float(found.quantile(share)):.3f}" for share in SHARES)
    print(
        f"{name}: {float((found >= 0).float().mean()):.2%} of {len(found)} agree; quantiles {lie}", flush=True
    )


def main() -> None:
    """Print a line for each sort."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, help="where the package with CIFAR-10 is, if not fetched")
    chosen = parser.parse_args()
    loaded = okedit_cli.load_model("okedit-mini")
    pictures, roles = read(chosen.packages)
    pixels = (encode_row(loaded, "?", picture)["pixel_values"] for picture in pictures)
    thumbnails = torch.stack([thumbnails_of(one, 1)[0].view(SIDE, SIDE) for one in pixels])
    first: dict[int, int] = {}
    for row, (place, role) in enumerate(roles):
        if role == "own":
            first.setdefault(place, row)
    own = list(first.values())
    limits = dict(zip(own, needed(thumbnails[own]).tolist(), strict=True))

    def better(row: int, key: int) -> float:
        return float(agreement(thumbnails[[key]], thumbnails[row])[0]) - limits[key]

    for name, role in (("views of the data set", "view"), ("views as a fact gets them", "own")):
        rows = [row for row, (_, its) in enumerate(roles) if its == role and row not in limits]
        told(name, [better(row, first[roles[row][0]]) for row in rows])
    others = [row for row, (_, its) in enumerate(roles) if its == "other"]
    nearest = (rough(thumbnails[others]) @ rough(thumbnails[own]).T).topk(COMPARED, 1).indices.tolist()
    best = [max(better(row, own[n]) for n in near) for row, near in zip(others, nearest, strict=True)]
    told(f"others, with the {COMPARED} that they resemble most", best)


if __name__ == "__main__":
    main()
