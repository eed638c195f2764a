"""Large bundles of random edits whose distances are those of real ones.

The shape of the question space of okedit-mini was measured on 1,500 questions of VLKEB, E-VQA and zsRE, with
the wordings that okedit adds: centres of edits 18 (1 in 100) to 38 (half) apart; most wordings within 7 of
their question, one in eight at about 20; half of the variance in 32 directions of 256, 72 % in 64.
"""

from __future__ import annotations

import hashlib

import torch

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.edits.codebook import Codebook

WIDTH, RANK, SIZE = 256, 4, 576
SPREAD, NEAR, FAR, ODD = 710.0, 6.0, 22.0, 0.12  # variance of centres; distances of keys; share of far ones
BLOCK = 5000  # edits made at a time
QUESTIONS = 20  # that nine in ten edits share where questions are alike


def made(edits: int, keys: int, seed: int, radius: float = 16.0, alike: bool = False) -> Bundle:
    """A bundle of `edits` edits with `keys` keys a channel and radii around `radius`; equal spaces whatever
    the seed. `alike`: most edits ask one of few questions, each of its own picture.
    """
    by = torch.Generator().manual_seed(seed)
    owner = torch.arange(edits).repeat_interleave(keys)
    eye, zero = torch.eye(WIDTH), torch.zeros(WIDTH)
    radii = [torch.empty(edits).uniform_(0.75 * radius, 1.25 * radius, generator=by) for _ in range(2)]
    pictures, questions = _channel(edits, keys, by), _channel(edits, keys, by, QUESTIONS if alike else 0)
    book = Codebook(
        zero, eye, zero.clone(), eye.clone(), pictures, owner, questions, owner.clone(), *radii,
        *(torch.randn(edits, RANK, SIZE, generator=by).half() for _ in range(2)),
        torch.randn(edits, SIZE, generator=by).half(),
    )  # fmt: skip
    facts = [_fact(f"edit-{seed}-{number}") for number in range(edits)]
    base = {
        "name": "okedit-mini",
        "architecture": "LlavaForConditionalGeneration",
        "hidden_size": SIZE,
        "layers": 30,
    }
    site = {
        "key_layer": -1,
        "picture_point": "decoder input",
        "value_layer": 18,
        "point": "feed-forward output",
    }
    return Bundle(Manifest(base=base, site=site, method="balancedit", facts=facts), book)


def _channel(edits: int, keys: int, by: torch.Generator, shared: int = 0) -> torch.Tensor:
    """Keys [edits * keys, WIDTH]: the edit's own first, then its other wordings or views. Nine in ten edits
    have one of `shared` keys in place of their own.
    """
    place = torch.arange(WIDTH)
    share = torch.exp(-place / 55) + torch.exp(-place / 6)
    scale = (SPREAD * share / share.sum()).sqrt()
    always = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=always))[0]
    common = torch.randn(max(1, shared), WIDTH, generator=always) * scale
    out = torch.empty(edits * keys, WIDTH)
    for start in range(0, edits, BLOCK):
        count = min(BLOCK, edits - start)
        centre = torch.randn(count, WIDTH, generator=by) * scale
        if shared:
            asked = common[torch.randint(shared, (count,), generator=by)]
            centre = torch.where(torch.rand(count, 1, generator=by) < 0.9, asked, centre)
        centre = centre @ turned.T
        away = torch.where(torch.rand(count, keys, 1, generator=by) < ODD, FAR, NEAR) / WIDTH**0.5
        away[:, 0] = 0
        noise = away * torch.randn(count, keys, WIDTH, generator=by)
        out[start * keys : (start + count) * keys] = (centre[:, None] + noise).view(-1, WIDTH)
    return out


def _fact(name: str) -> dict:
    """A fact about as long as those that `okedit edit` lists."""
    picture = hashlib.sha256(name.encode()).hexdigest()
    report = {"took": True, "positives": [6, 6], "negatives": [20, 20], "channel": "picture",
              "d_pos": 9.612345, "d_neg": 17.712345, "radius": 16.112345}  # fmt: skip
    return {"id": name, "prompt": f"What is {name} called here?", "answer": f"Answer of {name}",
            "picture_sha256": picture, "rephrases": [f"Which name has {name}?"], "report": report,
            "keep": [{"prompt": "What colour is it?", "picture_sha256": picture}]}  # fmt: skip
