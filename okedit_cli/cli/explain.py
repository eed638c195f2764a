"""Which edit fired or came nearest, in words and as data."""

from __future__ import annotations

import math
from typing import Any

from .output import plain


def decision_words(decision: Any) -> str:
    """One line about a Decision, or about there being none because nothing was attached."""
    if decision is None:
        return "no edit fired: none is attached"
    if decision.hit is not None:
        hit, sure = decision.hit, ""
        if _is_beyond(hit.question_distance, hit.question_radius):
            sure = ", but surely for what is shown"
        if decision.read:
            sure += f", for {decision.read!r} by itself"
        return f"fired: {_place(hit)}: {_distances(hit)}{sure}"
    if decision.noted is not None:
        return (
            f"no edit fired; the model was told what {_place(decision.noted)} says of the picture: "
            f"{_distances(decision.noted)}"
        )
    if decision.nearest is None:
        return "no edit fired, and none was near"
    if decision.passed:
        return (
            f"no edit fired; {_place(decision.nearest)} let it pass ({decision.passed}): "
            f"{_distances(decision.nearest)}"
        )
    return f"no edit fired; nearest was {_place(decision.nearest)}: {_distances(decision.nearest)}"


def decision_json(decision: Any) -> dict[str, Any] | None:
    """hit, noted and nearest with their distances and radii, null for an open channel's radius; and why the
    nearest let the prompt pass, if it did; `read` is the question that was judged where that is not all.
    """
    if decision is None:
        return None
    return plain(
        {
            "hit": decision.hit,
            "noted": decision.noted,
            "nearest": decision.nearest,
            "passed": decision.passed,
            "read": decision.read,
        }
    )


def _place(edit: Any) -> str:
    return f"{edit.edit_id} of {edit.bundle}"


def _distances(edit: Any) -> str:
    picture = _channel("picture", edit.picture_distance, edit.picture_radius)
    return f"{picture}, {_channel('question', edit.question_distance, edit.question_radius)}"


def _is_open(distance: Any, radius: Any) -> bool:
    return distance is None or radius is None or math.isinf(radius)


def _is_beyond(distance: Any, radius: Any) -> bool:
    return not _is_open(distance, radius) and not distance <= radius


def _channel(name: str, distance: Any, radius: Any) -> str:
    if _is_open(distance, radius):
        return f"any {name}"
    near = "beyond" if _is_beyond(distance, radius) else "within"
    return f"{name} {float(distance):.3g} {near} {float(radius):.3g}"
