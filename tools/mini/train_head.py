"""Train the concept head on cached features: train_head.py WORK --out FILE. Prints accuracies as it goes.

Trained on every artist but Twemoji; invariance comes from mixing features of the same thing by different
artists, dropout on features, and strong views. Names of held-out stamps are not in the vocabulary.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from okedit_cli.models.mini.concepts import ConceptHead, head_inputs


def load(work: Path, pattern: str) -> tuple[torch.Tensor, list[dict]]:
    """All shards of a pattern: head inputs [N, 1448] in half precision, and their label rows."""
    xs, rows = [], []
    for path in sorted((work / "features").glob(pattern)):
        shard = torch.load(path, weights_only=False)
        xs.append(head_inputs(shard["pooled"], shard["middle"], shard["colours"]).half())
        rows += [r | {"shard": path.stem} for r in shard["rows"]]
    return (torch.cat(xs), rows) if xs else (torch.zeros(0, 1448).half(), [])


def vocabulary(work: Path, rows: list[dict]) -> tuple[list[str], list[str], dict[str, str]]:
    """Names of trained rows then ImageNet's, kinds, and name -> kind (drawings speak first)."""
    imagenet = json.loads((work / "imagenet.json").read_text())
    kind_of: dict[str, str] = {}
    for row in rows:
        if row.get("name") and row.get("kind"):
            kind_of.setdefault(row["name"], row["kind"])
    trained = list(kind_of)
    for name, kind in imagenet:
        kind_of.setdefault(name, kind)
    return trained, sorted(set(kind_of.values())), kind_of


def main() -> None:
    """Train and save {state, names, kinds, kind_of}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--drop", type=float, default=0.25)
    parser.add_argument("--smooth", type=float, default=0.1)
    parser.add_argument("--mix", type=float, default=0.7)
    args = parser.parse_args()
    torch.manual_seed(0)
    work = args.work
    loaded = [load(work, p) for p in ("plain.pt", "view*.pt", "cifar_[0v]*.pt", "stamps_*.pt")]
    x = torch.cat([a for a, _ in loaded])
    rows = [r for _, b in loaded for r in b]
    keep = torch.tensor([r["artist"] not in ("stamp-test", "twemoji") for r in rows])
    x, rows = x[keep], [r for r, k in zip(rows, keep.tolist(), strict=True) if k]
    rows_first = sorted(rows, key=lambda r: r["shard"] != "plain")
    trained, kinds, kind_of = vocabulary(work, rows_first)
    index = {n: i for i, n in enumerate(trained)}
    y = torch.tensor([index[r["name"]] for r in rows])
    k = torch.tensor([kinds.index(kind_of[r["name"]]) for r in rows])
    is_cifar = torch.tensor([r["artist"].startswith("cifar") for r in rows])
    by_name: dict[int, torch.Tensor] = {}
    for i in range(len(trained)):
        by_name[i] = torch.nonzero((y == i) & ~is_cifar).flatten()
        if len(by_name[i]) == 0:
            by_name[i] = torch.nonzero(y == i).flatten()
    head = ConceptHead(len(trained), len(kinds), args.hidden, args.width)
    head.mean.copy_(x[::3].float().mean(0))
    head.scale.copy_(1 / (x[::3].float().std(0) + 1e-3))
    tests = {}
    for label, pattern in (
        ("twemoji", "twemoji.pt"),
        ("cifar test", "cifar_test.pt"),
        ("stamps", "stamps_plain.pt"),
        ("seen plain", "plain.pt"),
    ):
        tx, trows = load(work, pattern)
        pick = [i for i, r in enumerate(trows) if label != "stamps" or r["artist"] == "stamp-test"]
        if pick:
            tests[label] = (tx[pick], [trows[i] for i in pick])
    weight = torch.where(is_cifar, 0.35, 1.0)
    decay = [p for n, p in head.named_parameters() if p.ndim > 1]
    rest = [p for n, p in head.named_parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}], lr=2e-3
    )
    size, start = 512, time.time()
    steps = int(args.epochs * len(x) / size)
    for step in range(steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / steps)) * min(1, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * rate
        batch = torch.multinomial(weight, size) if len(weight) < 2**24 else torch.randint(len(x), (size,))
        partner = torch.stack([by_name[int(i)][torch.randint(len(by_name[int(i)]), ())] for i in y[batch]])
        share = torch.rand(size, 1) * (torch.rand(size, 1) < args.mix)
        mixed = x[batch].float() * (1 - share) + x[partner].float() * share
        mixed = head.mean + F.dropout(mixed - head.mean, args.drop)
        hidden = head.hidden(mixed)
        embedding = head.embed(F.dropout(hidden, args.drop))
        loss = F.cross_entropy(head.name_logits(embedding), y[batch], label_smoothing=args.smooth)
        loss = loss + 0.3 * F.cross_entropy(head.kinds(F.dropout(hidden, args.drop)), k[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 250 == 249 or step == steps - 1:
            print(
                f"step {step + 1}/{steps} loss {loss:.3f} {time.time() - start:.0f}s",
                report(head, tests, trained, kinds, kind_of),
                flush=True,
            )
    torch.save(
        {
            "state": head.state_dict(),
            "names": trained,
            "kinds": kinds,
            "kind_of": kind_of,
            "hidden": args.hidden,
            "width": args.width,
        },
        args.out,
    )


@torch.no_grad()
def report(
    head: ConceptHead, tests: dict, names: list[str], kinds: list[str], kind_of: dict[str, str]
) -> str:
    """Top-1 name and kind accuracy of every test set."""
    out = []
    for label, (x, rows) in tests.items():
        hidden = head.hidden(x.float())
        best = head.name_logits(head.embed(hidden)).argmax(1)
        exact = sum(names[b] == r["name"] for b, r in zip(best.tolist(), rows, strict=True)) / len(rows)
        kind = head.kinds(hidden).argmax(1)
        right = sum(
            kinds[b] == kind_of.get(r["name"], r["kind"]) for b, r in zip(kind.tolist(), rows, strict=True)
        )
        out.append(f"{label} {exact:.3f}/{right / len(rows):.3f}")
    return ", ".join(out)


if __name__ == "__main__":
    main()
