"""What was decided for a prompt: which edit answers it, if any, and how near it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from okedit_cli.edits.codebook import Match

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle


@dataclass(frozen=True)
class Nearest:
    """An edit with its distances and radii for one prompt."""

    edit_id: str
    bundle: str = field(compare=False)  # the file's name, or which of those attached: for people
    number: int  # its place among those attached
    row: int
    match: Match

    @classmethod
    def of(cls, bundle: Bundle, number: int, match: Match) -> Nearest:
        """The edit of a bundle, `number` among those attached, that a match names."""
        fact = bundle.manifest.facts[match.edit]
        return cls(fact["id"], bundle.name or f"bundle {number + 1}", number, match.edit, match)

    @property
    def picture_distance(self) -> float:
        """Distance in the picture channel (inf: no picture, or the edit has none)."""
        return self.match.picture_distance

    @property
    def picture_radius(self) -> float:
        """Radius in the picture channel (inf: open)."""
        return self.match.picture_radius

    @property
    def question_distance(self) -> float:
        """Distance in the question channel."""
        return self.match.question_distance

    @property
    def question_radius(self) -> float:
        """Radius in the question channel."""
        return self.match.question_radius


@dataclass(frozen=True)
class Decision:
    """What was decided for one prompt: the edit that fired, and the nearest in any case.

    `noted`: no edit fires, but the question bears on what this one says of the picture, so that the model
    is given its note (outer.py). `passed`: why the nearest does not answer, though the prompt lies inside.
    `read`: the question that was judged, where that is not the whole text (surroundings.py).
    """

    hit: Nearest | None
    nearest: Nearest | None
    noted: Nearest | None = None
    passed: str = ""
    read: str = ""
