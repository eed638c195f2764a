"""Which queries a gated delta answers: those whose activation passes the smallest of its edits' (WISE).

The activation is how far the change moves the output of the map that it changes, at the prompt's last token.
All edits share one change, so that it answers for all of them or for none; a verdict names the edit whose
own last prompt token lies nearest, which decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from okedit_cli.models.points import LAST_TOKEN, Point
from okedit_cli.scope.verdict import Candidate

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.scope.query import Query

LEAST = 1e-9  # an activation below it is none


class Activation:
    """The gate of one bundle, `number` among those attached, in a retriever's place.

    A query's distance is the smallest activation of the edits over its own, its radius what that may be.
    """

    judged = False  # by no classifier

    def __init__(self, bundle: Bundle, number: int, strictness: float) -> None:
        self.bundle, self.number, self.strictness = bundle, number, strictness
        [(site, change)] = bundle.edits.changes.items()
        self.site = {"key_layer": Point.parse(site).layer, "question_point": LAST_TOKEN}
        self.change, self.keys = change.whole().cpu(), bundle.edits.gate.keys.float().cpu()
        activations = torch.linalg.vector_norm(self.keys @ self.change.T, dim=1)
        self.least = float(activations.amin()) if len(self.keys) else 0.0
        self.radius = (1.5 - strictness) / bundle.edits.gate.ratio

    def retrieve(self, query: Query) -> list[Candidate]:
        """The nearest edit, with how the query's activation compares; nothing where there is no edit."""
        if not len(self.keys):
            return []
        received = query.prompt_feature(self.site).float()
        activation = float(torch.linalg.vector_norm(self.change @ received))
        row = int(torch.linalg.vector_norm(self.keys - received, dim=1).argmin())
        return [
            Candidate.of(
                self.bundle, self.number, row, picture_distance=0.0, picture_radius=float("inf"),
                question_distance=self.least / max(activation, LEAST), question_radius=self.radius,
            )
        ]  # fmt: skip
