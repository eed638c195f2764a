"""What each stage of the router said of a query, in words and as data."""

from __future__ import annotations

import math
from typing import Any

from .output import plain

SHOWN = 5  # candidates that are told


def verdict_words(verdict: Any) -> str:
    """Lines about a Verdict, or about there being none because nothing was attached."""
    if verdict is None:
        return "no edit fired: none is attached"
    if verdict.nearest is None:
        return "no edit fired, and none was near"
    if verdict.hit is not None:
        first = f"fired: {_place(verdict.hit)}"
    elif verdict.context is not None:
        first = f"no edit fired; the model was told what {_place(verdict.context)} says of the picture"
    else:
        first = f"no edit fired; nearest was {_place(verdict.nearest)}"
    return "\n".join([first, *(f"  {_stages(one)}" for one in verdict.candidates[:SHOWN])])


def verdict_json(verdict: Any) -> dict[str, Any] | None:
    """hit, context and nearest with what each stage found, null for an open channel's radius; all
    candidates.
    """
    if verdict is None:
        return None
    names = ("hit", "context", "nearest", "rejection", "candidates")
    return plain({name: getattr(verdict, name) for name in names})


def _place(edit: Any) -> str:
    return f"{edit.edit_id} of {edit.bundle}"


def _stages(one: Any) -> str:
    """One candidate: retriever, classifier, verifier, and the reason why it does not answer."""
    parts = [_channel("picture", one.picture_distance, one.picture_radius)]
    if one.label:
        parts.append(f"question: {one.label} ({one.question_distance:.2f} of {one.question_radius:.2f})")
    else:
        parts.append(_channel("question", one.question_distance, one.question_radius))
    if one.view is not None:
        parts.append("a view of its picture" if one.view else "no view of its picture")
    return f"{one.edit_id}: {', '.join(parts)}: {one.rejection or 'answers'}"


def _channel(name: str, distance: float, radius: float) -> str:
    if radius is None or math.isinf(radius):
        return f"any {name}"
    if distance is None or math.isinf(distance):
        return f"no {name}"
    return f"{name} {distance:.3g} {'within' if distance <= radius else 'beyond'} {radius:.3g}"
