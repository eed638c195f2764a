"""The question channel and the picture channel of one fact, and which of them binds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.methods.about import shows_one
from okedit_cli.methods.base import Scope
from okedit_cli.methods.eye import Eye, unique
from okedit_cli.methods.scope import KEYS, Reach, reach
from okedit_cli.models.recognition import recognise
from okedit_cli.wording import normal

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.samples import Sample


def scope_channels(
    eye: Eye, fact: Fact, samples: Sequence[Sample], without: frozenset[str] = frozenset()
) -> tuple[Reach, Reach | None]:
    """Question and picture channel of one fact; a text-only fact leaves the picture channel open (None)."""
    plain = "calibration" in without
    count = 1 if "keys" in without else KEYS
    inside = [s for s in samples if s.role in ("edit", "positive")]
    outside = [s for s in samples if s.role == "negative"]
    asked = list(dict.fromkeys(s.prompt for s in inside))
    known = {normal(text) for text in asked}
    # Only questions about the picture of the edit have to be told apart by their words.
    others = [s for s in outside if s.cell.split("/")[1] == "other" and s.cell.split("/")[0] != "other"]
    others = [s for s in others if normal(s.prompt) not in known]
    given, drawn = _parted(others)  # against those of the bank the radius is calibrated
    given += drawn if plain else []
    question = reach(
        torch.stack([eye.question(text) for text in asked]),
        _stacked([eye.question(s.prompt) for s in given]),
        torch.zeros(0, 1),
        float("inf") if plain else eye.spaces.question_reach,
        count=count,
    )
    if fact.image is None:
        return question, None
    shown = [s for s in outside if s.picture is not None and s.cell.startswith("other")]
    individual = shows_one(fact.prompt, inside[0].picture, bool(fact.images))
    # what has no name for the model can only be known by its looks
    [name] = recognise(eye.loaded, [inside[0].picture])
    individual = individual or not name
    if "views" in without:
        inside = [s for s in inside if s.origin != "transform"]
    verified = "thumbnails" not in without and len(eye.thumbnails(fact, inside)) > 0
    if verified:  # what else looks alike cannot be laid over its picture
        shown = [s for s in shown if s.origin == "user"]
    given, drawn = (unique([s.picture for s in part]) for part in _parted(shown))
    if not individual:  # a picture of the bank that bears the same name may show the same thing
        drawn = [p for p in drawn if not eye.bears(p, name)]
    given, drawn = ([eye.picture(picture) for picture in part] for part in (given, drawn))
    if plain:
        given, drawn = [*given, *drawn], []
    calibrated = eye.spaces.own_radius if individual else eye.spaces.named_radius
    if verified:
        calibrated = eye.spaces.verified_radius
    picture = reach(
        torch.stack(eye.own_pictures(inside, individual)),
        _stacked(given),
        _stacked(drawn),
        float("inf") if plain else calibrated,
        count=count,
    )
    return question, picture


def _parted(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Negatives that somebody gave (the user, the file's other facts), and those drawn from the bank."""
    given = [s for s in samples if s.origin in ("user", "file")]
    return given, [s for s in samples if s.origin not in ("user", "file")]


def _stacked(keys: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(keys)) if keys else torch.zeros(0, 1)


def judged(question: Reach, picture: Reach | None) -> Scope:
    """The channel that binds, and what is to be said when no radius exists."""
    channels = [("question", question)] + ([("picture", picture)] if picture else [])
    channel, found = max(channels, key=lambda c: c[1].d_pos / c[1].d_neg if c[1].d_neg > 0 else float("inf"))
    why = ""
    if not found.exists:
        sides = f"d_pos {found.d_pos:.3g} >= d_neg {found.d_neg:.3g}"
        why = f"this fact will over-reach: in the {channel} channel {sides}"
    return Scope(channel, found.d_pos, found.d_neg, found.radius, why)
