"""Train okedit-mini's picture space: a linear map of looks in which other views and other artists' drawings
of a thing lie within a distance of 1, and other things, the near ones above all, beyond it.

    python tools/mini/train_looks.py OUT.safetensors --fit DATA/fit.json [--looks CACHE.pt] [--steps 400]

Supervised contrastive loss (Khosla et al. 2020), and a logistic loss that has each pair of one thing within 1
and each picture's nearest stranger beyond, on whitened looks of the fit split of okedit-pictures and of the
bank, with transformed views. Judged by things that were left out of training, a quarter at a time; the map
that is saved is trained on all. No test split is read.
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

VIEWS, WIDTH, FOLDS = 8, 256, 4
RATE, DECAY, THINGS = 3e-3, 0.01, 128
STEEP, PAIRS = 6.0, 0.5


@dataclass
class Looks:
    """Vectors [n, d], the thing that each shows, what kind of picture it is ("edit", "transform", "view",
    "artist", "near", "bank"), and the kind of each case by thing.
    """

    vectors: torch.Tensor
    things: list[str]
    roles: list[str]
    kinds: dict[str, str]


def read_looks(fit: Path) -> Looks:
    """Looks of every picture of the split and of the bank, with views made of them."""
    import okedit_cli
    from okedit_cli.bank import load_bank
    from okedit_cli.evaluate import load_cases, present
    from okedit_cli.models.recognition import look_features
    from okedit_cli.pictures import load_picture
    from okedit_cli.transforms import views

    loaded = okedit_cli.load_model("okedit-mini")
    out = Looks(torch.zeros(0), [], [], {})
    vectors: list[torch.Tensor] = []

    def add(pictures, thing: str, role: str) -> None:
        for picture in pictures:
            vectors.append(look_features(loaded, [picture])[0])
            out.things.append(thing)
            out.roles.append(role)
            loaded.cache.pop("looks", None)

    known = set()
    for case in present(load_cases(fit)).cases:
        own, recolour = load_picture(case.picture), case.kind != "flag"
        out.kinds[case.id] = case.kind
        known |= {text.casefold() for text in case.truth}
        made = views(own, VIEWS, zlib.crc32(case.id.encode()), mirror=recolour, recolour=recolour)
        add([own], case.id, "edit")
        add(made, case.id, "transform")
        for path, cell in zip(case.pictures, case.picture_cells, strict=True):
            add([load_picture(path)], case.id, cell)
        for probe in case.picture_locality:
            if str(probe.picture) not in out.things:
                add([load_picture(probe.picture)], str(probe.picture), "near")
    for number, shown in enumerate(load_bank().pictures):
        if shown.name.casefold() not in known:  # it may show what a case shows
            add([shown.image, *views(shown.image, VIEWS, number)], f"bank {number}", "bank")
    out.vectors = torch.stack(vectors)
    return out


def train(looks: Looks, start: torch.Tensor, mean: torch.Tensor, rows: list[int], steps: int) -> torch.Tensor:
    """A projection [d, WIDTH] from the rows that may be seen; `start` [d, r] whitens."""
    chance = random.Random(0)
    torch.manual_seed(0)
    whitened = ((looks.vectors - mean) @ start)[rows]
    things = defaultdict(list)
    for place, row in enumerate(rows):
        things[looks.things[row]].append(place)
    first = torch.nn.init.orthogonal_(torch.empty(WIDTH, start.shape[1])).T
    change = torch.zeros_like(first).requires_grad_()
    optimiser = torch.optim.AdamW([change], lr=RATE, weight_decay=DECAY)
    for step in range(steps):
        picked = chance.sample(sorted(things), min(THINGS, len(things)))
        part = [place for thing in picked for place in things[thing]]
        owner = torch.tensor([n for n, thing in enumerate(picked) for _ in things[thing]])
        loss = apart(whitened[part] @ (first + change), owner)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = RATE * max(0.02, 1 - step / steps)
    return start @ (first + change).detach()


def apart(keys: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """The loss of keys [n, r] of things [n]."""
    squares = torch.cdist(keys, keys).pow(2)
    same = owner[:, None] == owner[None]
    itself = torch.eye(len(owner), dtype=torch.bool)
    mates = same & ~itself
    logged = (-2 * squares).masked_fill(itself, -1e9).log_softmax(1)
    contrast = -logged.masked_fill(~mates, 0).sum(1) / mates.sum(1).clamp_min(1)
    inside = STEEP * (1 - squares)
    nearest = inside.masked_fill(same, -1e9).amax(1)
    pairs = F.softplus(-inside)[mates].mean() + F.softplus(nearest).mean()
    return contrast[mates.any(1)].mean() + PAIRS * pairs


def whitening(looks: Looks, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """mean [d] and projection [d, 384]: the rows' looks whitened by what varies within a thing."""
    from okedit_cli.edits.space import best_space

    ids = {thing: n for n, thing in enumerate(dict.fromkeys(looks.things[row] for row in rows))}
    owner = torch.tensor([ids[looks.things[row]] for row in rows])
    space = best_space(looks.vectors[rows], owner, 384)
    keys = space(looks.vectors[rows])
    distance = torch.cdist(keys, keys).masked_fill(owner[:, None] == owner[None], torch.inf)
    return space.mean, space.projection / distance.amin(1).median()


def distances(looks: Looks, keys: torch.Tensor, cases: list[str], count: int = 8) -> dict:
    """(kind, role) -> distance of each picture of a case to the nearest of its edit and transformed views; of
    near pictures to the cases that they are near to, role "near".
    """
    by = defaultdict(lambda: defaultdict(list))
    for row, (thing, role) in enumerate(zip(looks.things, looks.roles, strict=True)):
        by[thing][role].append(row)
    near = [row for row, role in enumerate(looks.roles) if role in ("near", "edit", "bank")]
    out = defaultdict(list)
    for case in cases:
        own = keys[by[case]["edit"] + by[case]["transform"][: count - 1]]
        for role in ("view", "artist"):
            if by[case][role]:
                found = torch.cdist(keys[by[case][role]], own).amin(1)
                out[looks.kinds[case], role] += found.tolist()
        others = [row for row in near if looks.things[row] != case]
        found = torch.cdist(keys[others], own).amin(1).sort().values
        out[looks.kinds[case], "near"] += found[:3].tolist()
    return out


def told(out: dict, radius: float = 1.0) -> dict[str, str]:
    """Shares within the radius."""
    return {
        " ".join(key): f"{sum(d <= radius for d in found) / len(found):.3f}"
        for key, found in sorted(out.items())
    }


def main() -> None:
    """Read, judge by folds, train on all, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="fit.json of okedit-pictures")
    parser.add_argument("--looks", type=Path, help="where looks are kept for the next training")
    parser.add_argument("--steps", type=int, default=400)
    chosen = parser.parse_args()
    began = time.time()
    if chosen.looks is not None and chosen.looks.exists():
        looks = Looks(**torch.load(chosen.looks))
    else:
        looks = read_looks(chosen.fit)
        if chosen.looks is not None:
            torch.save(vars(looks), chosen.looks)
    print(
        f"{len(looks.things)} looks of {len(set(looks.things))} things",
        round(time.time() - began),
        flush=True,
    )
    cases, found = list(looks.kinds), defaultdict(list)
    for fold in range(FOLDS):
        left_out = set(cases[fold::FOLDS])
        rows = [row for row, thing in enumerate(looks.things) if thing not in left_out]
        mean, start = whitening(looks, rows)
        keys = (looks.vectors - mean) @ train(looks, start, mean, rows, chosen.steps)
        for key, some in distances(looks, keys, sorted(left_out)).items():
            found[key] += some
        print(fold, round(time.time() - began), told(found), flush=True)
    rows = list(range(len(looks.things)))
    mean, start = whitening(looks, rows)
    _save(chosen.out, mean, train(looks, start, mean, rows, chosen.steps), told(found))


def _save(out: Path, mean: torch.Tensor, projection: torch.Tensor, judged: dict[str, str]) -> None:
    from safetensors.torch import save_file

    import okedit_cli
    from okedit_cli.models.fingerprint import fingerprint

    weights = fingerprint(okedit_cli.load_model("okedit-mini"))["weights"]
    save_file(
        {"mean": mean.half(), "projection": projection.half().contiguous()},
        out,
        {"weights": weights, **judged},
    )


if __name__ == "__main__":
    main()
