"""Train okedit-mini's picture space: a linear map of what enters the decoder in which other views and other
artists' drawings of a thing lie within a distance of 1, and other things, the near ones above all, beyond it.

    python tools/mini/train_looks.py OUT.safetensors --fit DATA/fit.json [--looks CACHE.pt] [--steps 300]

Supervised contrastive loss (Khosla et al. 2020), and a logistic loss that has each pair of one thing within 1
and each picture's nearest stranger beyond, on whitened tokens. Judged by things that were left out of
training, half of the cases at a time, and by near pictures none of which it saw; the map that is saved is
trained on all.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path

import torch
from look_pictures import STRANGERS, Looks, photographs, read_looks
from torch.nn import functional as F

import okedit_cli
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini.looks import GRID, LOOK_WIDTH, flattened
from okedit_cli.models.recognition import recognise

FOLDS = 2
RATE, DECAY = 3e-3, 0.01
QUOTA = {"case": 64, "photograph": 64, "flag": 32}  # things of a step
STEEP, PAIRS = 6.0, 0.5
GRID_WIDTH, SAID_WIDTH = 192, 128  # directions kept of each token
PARTS = (1.5, 0.3, 0.5 / 3)  # weights of the grid's mean, of what differs from it, of each token that says
PRINCIPAL, WHITE = 1152, 384  # directions whitened; for so many the scale is right


def reduced(tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Directions that matter: `grid` [d, GRID_WIDTH] and `said` [d, SAID_WIDTH], of tokens [n, 18, d]."""
    torch.manual_seed(0)
    found = {}
    for name, part, width in (
        ("grid", tokens[:, :GRID], GRID_WIDTH),
        ("said", tokens[:, GRID:], SAID_WIDTH),
    ):
        flat = part.reshape(-1, tokens.shape[2])[::3]
        found[name] = torch.pca_lowrank(flat, q=width, niter=2)[2]
    return found


def weighing(flat: torch.Tensor) -> torch.Tensor:
    """A matrix that weighs the parts of flattened tokens: [d, GRID_WIDTH + GRID * GRID_WIDTH + said]."""
    width = GRID * GRID_WIDTH
    mean = torch.eye(GRID_WIDTH).repeat(GRID, 1) / GRID
    rest = torch.eye(width) - mean @ torch.eye(GRID_WIDTH).repeat(1, GRID)

    def spread(part: torch.Tensor) -> float:
        return float(part.var(0).sum().sqrt())

    grid = flat[:, :width]
    columns = [PARTS[0] / spread(grid @ mean) * mean, PARTS[1] / spread(grid @ rest) * rest]
    says = [PARTS[2] / spread(part) * torch.eye(SAID_WIDTH) for part in flat[:, width:].split(SAID_WIDTH, 1)]
    return torch.block_diag(torch.cat(columns, 1), *says)


def whitening(looks: Looks, features: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """mean [d] and projection [d, d]: the rows' features whitened by what varies within a thing."""
    from okedit_cli.edits.space import best_space

    ids = {thing: n for n, thing in enumerate(dict.fromkeys(looks.things[row] for row in rows))}
    owner = torch.tensor([ids[looks.things[row]] for row in rows])
    space = best_space(features[rows], owner, features.shape[1])
    keys = space(features[rows])
    distance = torch.cdist(keys, keys).masked_fill(owner[:, None] == owner[None], torch.inf)
    return space.mean, space.projection / distance.amin(1).median()


def train(looks: Looks, white: torch.Tensor, rows: list[int], steps: int) -> torch.Tensor:
    """A projection [d, LOOK_WIDTH] of whitened features, from the rows that may be seen."""
    chance = random.Random(0)
    torch.manual_seed(0)
    things, groups = defaultdict(list), defaultdict(list)
    for row in rows:
        if looks.things[row] not in things:
            groups[looks.roles[row] if looks.roles[row] in QUOTA else "case"].append(looks.things[row])
        things[looks.things[row]].append(row)
    # a random choice of directions, as long as all together: distances stay about what they were
    longer = (white.shape[1] / WHITE) ** 0.5
    first = torch.nn.init.orthogonal_(torch.empty(LOOK_WIDTH, white.shape[1])).T * longer
    change = torch.zeros_like(first).requires_grad_()
    optimiser = torch.optim.AdamW([change], lr=RATE, weight_decay=DECAY)
    for step in range(steps):
        picked = [
            t for name, n in QUOTA.items() for t in chance.sample(groups[name], min(n, len(groups[name])))
        ]
        part = [row for thing in picked for row in things[thing]]
        owner = torch.tensor([n for n, thing in enumerate(picked) for _ in things[thing]])
        loss = apart(white[part] @ (first + change), owner)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = RATE * max(0.02, 1 - step / steps)
    return (first + change).detach()


def apart(keys: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """The loss of keys [n, r] of things [n]."""
    length = keys.pow(2).sum(1)  # cdist's gradient is slow
    squares = (length[:, None] + length[None] - 2 * keys @ keys.T).clamp_min(1e-6)
    same = owner[:, None] == owner[None]
    itself = torch.eye(len(owner), dtype=torch.bool)
    mates = same & ~itself
    logged = (-2 * squares).masked_fill(itself, -1e9).log_softmax(1)
    contrast = -logged.masked_fill(~mates, 0).sum(1) / mates.sum(1).clamp_min(1)
    inside = STEEP * (1 - squares)
    nearest = inside.masked_fill(same, -1e9).amax(1)
    pairs = F.softplus(-inside)[mates].mean() + F.softplus(nearest).mean()
    return contrast[mates.any(1)].mean() + PAIRS * pairs


def distances(looks: Looks, keys: torch.Tensor, cases: list[str], count: int = 8) -> dict:
    """(kind, role) -> distance of each picture of a case to the nearest of its edit and transformed views; of
    the three nearest other pictures to the case, role "near".
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


def learned(looks: Looks, features: torch.Tensor, rows: list[int], steps: int):
    """mean [d] and projection [d, LOOK_WIDTH] of features, from the rows that may be seen."""
    plain = [row for row in rows if looks.roles[row] not in STRANGERS]
    mean, start = whitening(looks, features, plain)
    return mean, start @ train(looks, (features - mean) @ start, rows, steps)


def main() -> None:
    """Read, judge by folds, train on all, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="fit.json of okedit-pictures")
    parser.add_argument("--packages", type=Path, help="where the package with CIFAR-10 is, if not fetched")
    parser.add_argument("--looks", type=Path, help="where looks are kept for the next training")
    parser.add_argument("--steps", type=int, default=300)
    chosen = parser.parse_args()
    began = time.time()

    def tell(*words) -> None:
        print(*words, round(time.time() - began), flush=True)

    if chosen.looks is not None and chosen.looks.exists():
        looks = Looks(**torch.load(chosen.looks))
    else:
        looks = read_looks(chosen.fit, chosen.packages, tell)
        if chosen.looks is not None:
            torch.save(vars(looks), chosen.looks)
    tell(f"{len(looks.things)} looks of {len(set(looks.things))} things")
    tokens = looks.tokens.float()
    given = [row for row, role in enumerate(looks.roles) if role not in STRANGERS]
    bases = reduced(tokens[given])
    flat = flattened(tokens, bases)
    weights = weighing(flat[given])
    weighed = flat @ weights
    principal = torch.pca_lowrank(weighed[given], q=PRINCIPAL, niter=2)[2]
    features, cases, found = weighed @ principal, list(looks.kinds), defaultdict(list)
    for fold in range(FOLDS):
        left_out = set(cases[fold::FOLDS])
        seen = enumerate(zip(looks.things, looks.roles, strict=True))
        rows = [row for row, (thing, role) in seen if thing not in left_out and role != "near"]
        mean, projection = learned(looks, features, rows, chosen.steps)
        for key, some in distances(looks, (features - mean) @ projection, sorted(left_out)).items():
            found[key] += some
        tell(fold, told(found))
    mean, projection = learned(looks, features, list(range(len(looks.things))), chosen.steps)
    whole = weights @ principal @ projection
    keys = strangers(looks, flat @ whole - mean @ projection)
    tensors = {**bases, "projection": whole, "offset": mean @ projection, "strangers": keys}
    loaded = okedit_cli.load_model("okedit-mini")
    tell("names of strangers")
    names = recognise(loaded, list(photographs(chosen.packages)), fitting=True)
    told_names = {"stranger_names": "\n".join(names)}
    _save(chosen.out, tensors, {"weights": fingerprint(loaded)["weights"], **told_names, **told(found)})


def strangers(looks: Looks, keys: torch.Tensor) -> torch.Tensor:
    """Looks of the photographs as they were taken, of every thing the first: what no edit is about."""
    first = {}
    for row, (thing, role) in enumerate(zip(looks.things, looks.roles, strict=True)):
        if role == "photograph":
            first.setdefault(thing, row)
    return keys[list(first.values())]


def _save(out: Path, tensors: dict[str, torch.Tensor], told: dict[str, str]) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, out, told)


if __name__ == "__main__":
    main()
