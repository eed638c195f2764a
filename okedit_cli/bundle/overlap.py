"""Which edits of two bundles would answer the same query? What a merge has to settle.

Two edits meet where both have a picture or both have none, their pictures are near or views of each other,
and one's prompt asks for what the other's does (scope/classifier.py): what a router would decide of each
other's own question. Not here: which of them stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from okedit_cli.models.sentences import question_radius
from okedit_cli.samples.wording import normal
from okedit_cli.scope.classifier import asks_alike
from okedit_cli.scope.views import compare, decode_view, describe, is_view

ROWS = 1024  # edits compared with all others at a time
JUDGED = 3  # of the edits that one's prompt lies near, the nearest that the classifier is asked about
BLOCK = 64  # picture keys of one side compared at a time


@dataclass
class Side:
    """Edits of one bundle: facts as the manifest lists them; question keys [n, q], the first of each;
    picture keys [k, r] with owner [k] and radius [n] (inf: no picture); `views(i)`: the small JPEG files
    of one edit.
    """

    facts: Sequence[dict[str, Any]]
    questions: torch.Tensor
    keys: torch.Tensor
    owner: torch.Tensor
    radius: torch.Tensor
    views: Any

    def pictured(self) -> torch.Tensor:
        """Which edits are about a picture [n]."""
        return torch.isfinite(self.radius)


def overlaps(one: Side, other: Side) -> Iterator[tuple[int, int, float, float]]:
    """(i, j, picture distance, question distance) of the edits that meet, by i, then j; without pictures
    the first is inf.
    """
    if not len(one.facts) or not len(other.facts):
        return
    same = {}
    for j, fact in enumerate(other.facts):
        same.setdefault(normal(str(fact["prompt"])), []).append(j)
    for top in range(0, len(one.facts), ROWS):
        rows = torch.arange(top, min(top + ROWS, len(one.facts)))
        asked = torch.cdist(one.questions[rows].float(), other.questions.float())
        near = asked <= question_radius()
        for place, i in enumerate(rows.tolist()):
            twins = same.get(normal(str(one.facts[i]["prompt"])), [])
            near[place, twins] = True
        near &= one.pictured()[rows][:, None] == other.pictured()[None]
        shown = _apart(one, rows, other, near)
        near &= ~one.pictured()[rows][:, None] | torch.isfinite(shown)
        for place, i in enumerate(rows.tolist()):
            js = near[place].nonzero()[:, 0].tolist()
            alike = normal(str(one.facts[i]["prompt"]))
            judged = sorted(
                (j for j in js if normal(str(other.facts[j]["prompt"])) != alike),
                key=lambda j: float(asked[place, j]),
            )
            judged = {j for j in judged[:JUDGED] if asks_alike(one.facts[i], other.facts[j])}
            for j in js:
                if (normal(str(other.facts[j]["prompt"])) == alike or j in judged) and _views(
                    one, i, other, j
                ):
                    yield i, j, float(shown[place, j]), float(asked[place, j])


def _apart(one: Side, rows: torch.Tensor, other: Side, wanted: torch.Tensor) -> torch.Tensor:
    """Distances [rows, m] of the nearest pictures of two edits where they lie within a radius of either,
    else inf.
    """
    out = torch.full(wanted.shape, torch.inf)
    own = torch.isin(one.owner, rows) & torch.isfinite(one.radius)[one.owner]
    for some in own.nonzero()[:, 0].split(BLOCK) if len(other.keys) else ():
        distance = torch.cdist(one.keys[some].float(), other.keys.float())
        for place, owner in zip(range(len(some)), one.owner[some].tolist(), strict=True):
            row = int(owner - rows[0])
            out[row] = out[row].scatter_reduce(0, other.owner, distance[place], "amin")
    limit = torch.maximum(one.radius[rows][:, None], other.radius[None]).float()
    return torch.where((out <= limit) & torch.isfinite(limit), out, torch.inf)


def _views(one: Side, i: int, other: Side, j: int) -> bool:
    """Whether two edits may be asked about the same picture: of one that is about a single picture, the
    other's is a view.
    """
    facts = one.facts[i], other.facts[j]
    if not any(fact.get("reach") == "picture" for fact in facts):
        return True
    found = [
        is_view(compare(_read(a), _read(b))) for a in one.views(i) for b in other.views(j)
    ]  # fmt: skip
    return not found or any(one is not False for one in found)


def _read(data: bytes):
    return describe(decode_view(data))
