"""What every method takes and gives. Which methods there are is for registry.py."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import UsageError

if TYPE_CHECKING:
    from okedit_cli.edits.base import EditSet
    from okedit_cli.facts import Fact
    from okedit_cli.samples.sampler import Sample

Progress = Callable[[str, int, int], None]

# parts that can be left out, to measure what each is worth (an ablation)
PARTS = {
    "admitted": "values taught what a scope lets in beside the user's words and templates",
    "places": "what tells the places of an answer apart; values begin with random directions instead",
    "verbatim": "answers that are held word for word; a value says them as it can",
    "rank": "all ranks of a value but one",
}


@dataclass(frozen=True)
class Options:
    """Settings every method shares; `layer` is where values act, 'auto' leaves it to the method.

    `without` names PARTS that are left out. `context`: whether a model is told a fact that an answer
    follows from, "on", "off", or "auto", where it was measured to help. `text_encoder`, `image_encoder`:
    hub ids or folders in place of okedit's and the base model's own.
    """

    layer: int | str = "auto"
    force: bool = False
    seed: int = 0
    progress: Progress | None = None
    without: frozenset[str] = frozenset()
    context: str = "auto"
    text_encoder: str = ""
    image_encoder: str = ""
    settings: Any = None  # the method's own, an instance of its dataclass
    among: Sequence[Fact] = ()  # all facts of the file where these are some: near negatives come from them

    def __post_init__(self) -> None:
        unknown = sorted(self.without - PARTS.keys())
        if unknown:
            raise UsageError(
                f"There is no part {unknown[0]!r} to leave out.", hint=f"Parts: {', '.join(PARTS)}."
            )

        for name in ("text_encoder", "image_encoder"):
            if os.path.isabs(encoder := getattr(self, name)):
                raise UsageError(
                    f"{name.replace('_', ' ')} {encoder} is a path of this machine, and a bundle travels.",
                    hint="Give a hub id, or a folder relative to the working folder.",
                )

    def tell(self, stage: str, done: int, total: int) -> None:
        """Report progress, if anybody listens."""
        if self.progress:
            self.progress(stage, done, total)


@dataclass(frozen=True)
class Scope:
    """How far a fact reaches in the channel that binds: distances of both sides, and the radius."""

    channel: str
    d_pos: float
    d_neg: float
    radius: float
    why: str = ""  # why there is no such radius

    @property
    def exists(self) -> bool:
        """Whether a radius separates both sides."""
        return not self.why

    @classmethod
    def none(cls, why: str = "") -> Scope:
        """Of an edit without keys and radii: it acts on every question, or something else decides. `why`
        there is no edit.
        """
        return cls("none", math.nan, math.nan, math.nan, why)


@dataclass
class Computed:
    """An edit set with the edits of `kept`, and what is known of all facts."""

    edits: EditSet
    site: dict[str, Any]
    settings: dict[str, Any]
    kept: list[Fact]
    samples: dict[str, list[Sample]]
    scopes: dict[str, Scope]
    seconds: dict[str, float]
    canary: dict[str, Any] = field(default_factory=dict)
    canary_rows: list[dict[str, Any]] = field(default_factory=list)
    notes: bool = False  # whether the model may be told a fact where its answer follows from it
    reaches: dict[str, str] = field(default_factory=dict)  # of facts with a picture: "kind" or "picture"
    verbatim: bool = True  # whether answers may be held word for word
    extras: dict[str, Any] = field(default_factory=dict)  # more tensors of the bundle
