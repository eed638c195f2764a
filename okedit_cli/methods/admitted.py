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

from okedit_cli.bank import load_bank
from okedit_cli.methods.about import says_what
from okedit_cli.methods.scope import Reach, spread_keys
from okedit_cli.wording import normal

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.methods.spaces import Spaces
    from okedit_cli.samples import Sample

COUNT = 3
NAMES = ("name", "kind")  # intents of the bank that ask what a thing is


def admitted(fact: Fact, samples: Sequence[Sample], spaces: Spaces, question: Reach) -> list[Sample]:
    """Up to COUNT wordings inside a fact's question channel, far from what it has and from each other."""
    if not question.exists or not says_what(fact):
        return []
    known = {normal(s.prompt) for s in samples}
    known |= {normal(asked.prompt) for asked in (*fact.keep, *fact.related, *fact.holdout)}
    names = _names()
    names = [(row, wording) for row, wording in names if normal(wording) not in known]
    keys = spaces.bank_questions[[row for row, _ in names]]
    inside = (torch.cdist(keys, question.keys).amin(1) <= question.radius).nonzero()[:, 0]
    owned = len(question.keys)
    chosen = spread_keys(torch.cat([question.keys, keys[inside]]), owned + COUNT, begun=owned)[owned:]
    edit = next(s for s in samples if s.role == "edit")
    return [
        replace(
            edit, role="positive", prompt=names[inside[row - owned]][1], cell="edit/rephrase", origin="bank"
        )
        for row in chosen
    ]


def _names() -> list[tuple[int, str]]:
    """The bank's wordings that ask for the name of some kind of thing, with their places among all."""
    asked = [(group, wording) for group in load_bank().questions for wording in group.wordings]
    return [
        (row, wording) for row, (group, wording) in enumerate(asked) if group.noun and group.intent in NAMES
    ]
