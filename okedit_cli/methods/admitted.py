"""Wordings that an edit's scope lets in anyway: its value learns to answer them.

Templates turn the user's own words around ("Tell me what kind of food this is."), while the question channel
admits any words of that meaning ("Name this dish."). What a value has not been shown of those it may answer
with the old name. So the bank's questions for a name that lie inside the scope join the samples of a fact
that says what its picture shows; the scope itself is not moved by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from okedit_cli import bank
from okedit_cli.encoders.text import text_vectors
from okedit_cli.models.sentences import question_radius
from okedit_cli.samples.wording import normal
from okedit_cli.scope.reach import KIND, reach_of

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.methods.spaces import Spaces
    from okedit_cli.samples.sampler import Sample

COUNT = 3
TWIN = 1e-3  # wordings this near to each other are one
NAMES = ("name", "kind")  # intents of the bank that ask what a thing is


def admitted(fact: Fact, samples: Sequence[Sample], spaces: Spaces) -> list[Sample]:
    """Up to COUNT wordings that ask for what a fact asks for, far from what it has and from each other."""
    if fact.image is None or reach_of(fact.prompt, fact.reach) != KIND:
        return []
    known = {normal(s.prompt) for s in samples}
    known |= {normal(asked.prompt) for asked in (*fact.keep, *fact.related, *fact.holdout)}
    names = [(row, wording) for row, wording in _names() if normal(wording) not in known]
    keys = spaces.bank_questions[[row for row, _ in names]]
    own = text_vectors([fact.prompt, *fact.rephrases])
    near = torch.cdist(keys, own).amin(1) <= question_radius()
    inside = near.nonzero()[:, 0]
    chosen = spread_keys(torch.cat([own, keys[inside]]), len(own) + COUNT, begun=len(own))[len(own) :]
    edit = next(s for s in samples if s.role == "edit")
    return [
        replace(
            edit,
            role="positive",
            prompt=names[inside[row - len(own)]][1],
            cell="edit/rephrase",
            origin="bank",
        )
        for row in chosen
    ]


def spread_keys(points: torch.Tensor, count: int, begun: int) -> list[int]:
    """Rows that cover the points: the first `begun`, then each time the one farthest from those chosen."""
    chosen = list(range(begun))
    nearest = torch.cdist(points, points[:begun], compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    while len(chosen) < min(count, len(points)):
        index = int(nearest.argmax())
        if float(nearest[index]) <= TWIN:
            break
        chosen.append(index)
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(points - points[index], dim=1))
    return chosen


def _names() -> list[tuple[int, str]]:
    """The bank's wordings that ask for the name of some kind of thing, with their places among all."""
    asked = [(group, wording) for group in bank.load_bank().questions for wording in group.wordings]
    return [
        (row, wording) for row, (group, wording) in enumerate(asked) if group.noun and group.intent in NAMES
    ]
