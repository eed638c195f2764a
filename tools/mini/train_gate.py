"""Fit the gate between drawings' and photographs' recogniser: train_gate.py WORK --head FILE.

A logistic regression on the head's hidden layer; photographs of ordinary scenes against drawings and the
small, soft CIFAR-10 pictures, whose names the concept head has learned.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F
from train_head import load

from okedit_cli.models.mini.concepts import ConceptHead


def main() -> None:
    """Write the gate into the head's file; prints rates on a held-out fifth and on Twemoji and CIFAR-10
    test.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--head", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    saved = torch.load(args.head, weights_only=False)
    head = ConceptHead(len(saved["names"]), len(saved["kinds"]), saved["hidden"], saved["width"])
    head.load_state_dict(saved["state"])
    sets = {}
    for name, pattern, photo in (
        ("photos", "photos_*.pt", 1),
        ("drawings", "plain.pt", 0),
        ("views", "view0.pt", 0),
        ("cifar", "cifar_[0v]*.pt", 0),
        ("twemoji", "twemoji.pt", 0),
        ("cifar test", "cifar_test.pt", 0),
    ):
        x, rows = load(args.work, pattern)
        if name == "photos":
            keep = [i for i, r in enumerate(rows) if r.get("style") != "cutout"]
            x = x[keep]
        with torch.no_grad():
            sets[name] = (torch.cat([head.hidden(part.float()) for part in x.split(4096)]), photo)
    train = [n for n in sets if n not in ("twemoji", "cifar test")]
    parts = {n: torch.arange(len(sets[n][0])) % 5 != 0 for n in train}
    optimiser = torch.optim.AdamW(head.gate.parameters(), lr=3e-3, weight_decay=1.0)
    for _ in range(600):
        loss = 0
        for name in train:
            hidden, photo = sets[name]
            pool = torch.nonzero(parts[name]).flatten()
            batch = hidden[pool[torch.randint(len(pool), (128,))]]
            logit = head.gate(batch).squeeze(1)
            loss = loss + F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, float(photo))) * (
                3 if photo else 1
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        for name, (hidden, _) in sets.items():
            rows = ~parts[name] if name in parts else slice(None)
            p = torch.sigmoid(head.gate(hidden[rows]).squeeze(1))
            print(f"{name}: taken for photographs {(p > 0.5).float().mean():.3f}, mean {p.mean():.3f}")
    saved["state"] = head.state_dict()
    torch.save(saved, args.head)


if __name__ == "__main__":
    main()
