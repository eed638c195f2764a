"""What memories say of a question, as verdicts beside the router's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okedit_cli.edits.counterfactual import RADIUS
from okedit_cli.encoders.text import DEFAULT
from okedit_cli.scope.router import BEYOND
from okedit_cli.scope.verdict import Candidate, Verdict

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle import Bundle
    from okedit_cli.edits.memory import Recalled

UNCONFIRMED = "the model does not confirm that the fact bears on the question"
FURTHER = "another fact bears on the question"


def joined(memory: Verdict, other: Verdict) -> Verdict:
    """One verdict where a memory and what came before it have judged the same question: a hit is the
    other's, else the memory's.
    """
    hit = other.hit or memory.hit
    nearest = hit or other.nearest or memory.nearest
    context = None if hit else other.context
    return Verdict(hit, nearest, context, (*other.candidates, *memory.candidates), other.overruled)


def told(bundle: Bundle, number: int, found: Recalled) -> Verdict:
    """What a text memory says of a question. A fact's distance is what its likeness lacks; no radius."""
    near = [
        Candidate.of(
            bundle, number, row, picture_distance=0.0, picture_radius=float("inf"),
            question_distance=round(1 - likeness, 6), question_radius=float("inf"),
            rejection="" if row == found.row else UNCONFIRMED if found.row is None else FURTHER,
        )
        for row, likeness in found.retrieved
    ]  # fmt: skip
    hit = next((one for one in near if one.row == found.row), None)
    return Verdict(hit, hit or (near[0] if near else None), None, tuple(near))


def in_scope(bundle: Bundle, number: int, prompt: str, picture: torch.Tensor | None) -> Verdict:
    """What a counterfactual memory says of a question: its nearest fact answers within the radius."""
    encoder = str(bundle.manifest.site.get("text_encoder", DEFAULT))
    near = [
        Candidate.of(
            bundle, number, row, picture_distance=0.0, picture_radius=float("inf"),
            question_distance=distance, question_radius=RADIUS,
            rejection=BEYOND if distance > RADIUS else FURTHER if place else "",
        )
        for place, (row, distance) in enumerate(bundle.edits.nearest(prompt, picture, encoder))
    ]  # fmt: skip
    hit = near[0] if near and not near[0].rejection else None
    return Verdict(hit, near[0] if near else None, None, tuple(near))
