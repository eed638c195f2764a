"""Bundles of facts with keys and radii and no values: what a router needs, and no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.edits.codebook import Codebook
from okedit_cli.encoders.text import text_vectors
from okedit_cli.methods.stacking import stack_views
from okedit_cli.scope.calibration import calibration
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.views import encode_view

WIDTH = 8  # numbers of a picture's vector here
BASE = {"architecture": "X", "hidden_size": 4, "layers": 2}
SITE = {
    "key_layer": -2,
    "question_point": "question encoder",
    "picture_point": "decoder input",
    "value_layer": 1,
}


def place(*near: float) -> torch.Tensor:
    """A picture's vector."""
    out = torch.zeros(WIDTH)
    out[: len(near)] = torch.tensor(near)
    return out


def picture(vector: torch.Tensor, image=None) -> Picture:
    """A picture of a query, with pixels or without."""
    return Picture(vector, (lambda: np.asarray(image.convert("RGB"))) if image else (lambda: None))


def bundle(*facts: dict, radius: float = 1.0) -> Bundle:
    """Edits of facts {id, prompt, [rephrases, keep, reach, note]}; `at`: the vector of its picture,
    `image`: its pixels.
    """
    owners, keys, texts, files, seen = [], [], [], [], []
    for row, fact in enumerate(facts):
        own = [fact["prompt"], *fact.get("rephrases", ())]
        texts += own
        owners += [row] * len(own)
        if "at" in fact:
            keys.append(fact["at"])
            seen.append(row)
        files.append([encode_view(np.asarray(fact["image"].convert("RGB")))] if "image" in fact else [])
    count = len(facts)
    radii = [radius if "at" in fact else float("inf") for fact in facts]
    book = Codebook(
        torch.zeros(0), torch.zeros(0, WIDTH), torch.zeros(0), torch.zeros(0, 384),
        torch.stack(keys) if keys else torch.zeros(0, WIDTH), torch.tensor(seen, dtype=torch.int64),
        text_vectors(texts), torch.tensor(owners, dtype=torch.int64),
        torch.tensor(radii), torch.full((count,), calibration().text_radius),
        torch.zeros(count, 1, 4), torch.zeros(count, 1, 4), torch.zeros(count, 4), *stack_views(files),
    )  # fmt: skip
    rows = [{"answer": "x", **{k: v for k, v in fact.items() if k not in ("at", "image")}} for fact in facts]
    return Bundle(Manifest(base=BASE, site=SITE, method="balancedit", facts=rows), book)


def ask(router, questions: Sequence[str], shown: Picture | None = None) -> list[str | None]:
    """Which edit answers each question."""
    verdicts = [router.route(Query(text, shown)) for text in questions]
    return [verdict.hit and verdict.hit.edit_id for verdict in verdicts]
