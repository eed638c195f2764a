"""What each stage of the router said of a query, in words and as data."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

SHOWN = 5  # candidates that are told
SAME = 1e-4  # a smaller distance is rounding: keys of one and the same picture or question
LABELS = {
    "answers": "asks for what the fact tells",
    "follows": "asks for what follows from the fact",
    "other": "asks for something else",
}


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


def overruled_words(verdict: Any) -> str:
    """That an older bundle says otherwise than the edit that fired."""
    return (
        f"{_place(verdict.overruled)} contradicts {_place(verdict.hit)}; the bundle that was attached last"
        " wins. To keep one, merge them, or leave one out with -b."
    )


def verdict_json(verdict: Any) -> dict[str, Any] | None:
    """hit, context and nearest with what each stage found, null for an open channel's radius; all
    candidates.
    """
    if verdict is None:
        return None
    names = ("hit", "context", "nearest", "rejection", "overruled", "candidates")
    return plain({name: getattr(verdict, name) for name in names})


def picture_words(distance: float | None, radius: float | None) -> str:
    """How far a query's picture lies from an edit's, and how far it may."""
    if _endless(radius):
        return "any picture, or none"
    if _endless(distance):
        return "no picture was given"
    if distance < SAME:
        return "the same picture"
    return f"picture {_within(distance, radius)}"


def question_words(distance: float | None, radius: float | None, label: str = "") -> str:
    """How far a question lies from an edit's; with a class, how surely the fact answers it."""
    if label:
        classed = LABELS.get(label, label)
        return f"{classed} (score {distance:.2f}, 0 is surest, answered up to {radius:.2f})"
    if _endless(radius):
        return "any question"
    if _endless(distance):
        return "no question to compare"
    if distance < SAME:
        return "the same question"
    return f"question {_within(distance, radius)}"


def _place(edit: Any) -> str:
    return f"{edit.edit_id} of {edit.bundle}"


def _stages(one: Any) -> str:
    """One candidate: what comes of it, and what retriever, classifier and verifier found."""
    parts = [picture_words(one.picture_distance, one.picture_radius)]
    outside = one.picture_ratio > 1
    if one.view:
        parts.append(f"{'but ' * outside}a view of the fact's picture")
    elif one.view is False and not outside:
        parts.append("no view of the fact's picture")
    parts.append(question_words(one.question_distance, one.question_radius, one.label))
    end = f"does not answer, since {one.rejection}" if one.rejection else "answers"
    return f"{one.edit_id} {end}: {'; '.join(parts)}"


def _endless(value: float | None) -> bool:
    return value is None or math.isinf(value)


def _within(distance: float, radius: float) -> str:
    return (
        f"at distance {distance:.3g}, {'within' if distance <= radius else 'beyond'} its radius {radius:.3g}"
    )


def plain(value: Any) -> Any:
    """value as JSON has it: dataclasses as objects, paths as text, endless numbers (open radius) as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a tensor or numpy number
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
