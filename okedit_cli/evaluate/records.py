"""One answered question of a run: what results are made of, and all that scoring needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate.case import METRICS


@dataclass(frozen=True)
class Decision:
    """What a scope decided: the edit that fired ("" for none), the nearest one, its distances and radii.

    `context`: no edit fired, and the model was told what this one says of the picture. `rejection`: why the
    nearest edit does not answer.
    """

    fired: str = ""
    nearest: str = ""
    picture_distance: float | None = None
    picture_radius: float | None = None  # None: the channel is open
    question_distance: float | None = None
    question_radius: float | None = None
    context: str = ""
    rejection: str = ""

    @property
    def acts(self) -> bool:
        """Whether an edit has any part in the answer."""
        return bool(self.fired or self.context)

    @property
    def reach(self) -> float:
        """The larger of distance / radius over the channels."""
        return max(self.in_radii("picture"), self.in_radii("question"))

    def in_radii(self, channel: str) -> float:
        """A channel's distance in radii: 0 where it is open, inf without a picture or a radius."""
        distance, radius = getattr(self, f"{channel}_distance"), getattr(self, f"{channel}_radius")
        if radius is None:
            return 0.0
        return distance / radius if distance is not None and radius > 0 else float("inf")


@dataclass(frozen=True)
class Record:
    """A question of a case, asked before and after the edit.

    `before` and `after` are texts as generated. `forced_*` come from teacher forcing, 0 to 1: for a positive
    the share of the target's tokens that are top-1; for a negative, after, the share of positions whose top-1
    is the unedited model's. `contested`: another edit of the run asks for this very answer to change.
    `truth`: what the picture shows, for the edit itself and for other pictures of the same thing. `reused`:
    no edit fired, so that the unedited model's answer was taken without asking again.
    """

    stage: str
    case: str
    metric: str
    key: str
    prompt: str
    before: str
    after: str
    picture: str | None = None
    answers: tuple[str, ...] = ()
    cell: str = ""
    kind: str = ""
    forced_before: float | None = None
    forced_after: float | None = None
    decision: Decision | None = None
    contested: bool = False
    truth: tuple[str, ...] = ()
    reused: bool = False


def to_json(record: Record) -> dict[str, Any]:
    """A record as JSON has it; what is at its default is left out."""
    out: dict[str, Any] = {}
    for item in fields(Record):
        value = getattr(record, item.name)
        if value == item.default:
            continue
        if isinstance(value, Decision):
            value = {f.name: v for f in fields(Decision) if (v := getattr(value, f.name)) not in ("", None)}
        out[item.name] = list(value) if isinstance(value, tuple) else value
    return out


def from_json(value: Any, where: str) -> Record:
    """to_json undone. InvalidFacts when it is no record; `where` names it."""
    try:
        decision = value.get("decision")
        known = {item.name for item in fields(Record)}
        content = {key: item for key, item in value.items() if key in known}
        for name in ("answers", "truth"):
            content[name] = tuple(content.get(name, ()))
        if isinstance(decision, Mapping):
            names = {item.name for item in fields(Decision)}
            content["decision"] = Decision(**{k: v for k, v in decision.items() if k in names})
        record = Record(**content)
        texts = (record.stage, record.case, record.prompt, record.before, record.after, *record.answers)
        if record.metric not in METRICS or not all(isinstance(text, str) for text in texts):
            raise ValueError
    except (TypeError, ValueError, AttributeError):
        raise InvalidFacts(f"{where} is no answer of an evaluation.") from None
    return record
