"""What a fact is: a picture (or none), a prompt, the answer to give, and what must not change.

A question in `keep`, `related` or `holdout` that names no image asks about the fact's own picture;
`image: null` means no picture. Not here: fact files (reader.py, writer.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 1  # of the format of fact files
# every picture of the kind of thing shown, or this one picture and views of it; auto leaves it to okedit
REACHES = ("auto", "kind", "picture")


@dataclass(frozen=True)
class Question:
    prompt: str
    image: Path | None = None
    answer: str | None = None  # what should follow from the fact; `related` questions only


@dataclass(frozen=True)
class Fact:
    id: str
    prompt: str
    answer: str
    image: Path | None = None
    rephrases: tuple[str, ...] = ()
    images: tuple[Path, ...] = ()
    keep: tuple[Question, ...] = ()
    related: tuple[Question, ...] = ()
    holdout: tuple[Question, ...] = ()
    reach: str = "auto"  # one of REACHES
    accepted: tuple[str, ...] = ()  # further answers that count as right when the fact is checked
    verbatim: bool | None = None  # whether the answer is held word for word; None: by the answer
    line: int = 0  # where it starts in its file; 0 when it comes from no file


@dataclass(frozen=True)
class FactFile:
    path: Path
    facts: tuple[Fact, ...]
    model: str | None = None
    defaults: dict[str, str | int] = field(default_factory=dict)
    # (line, column) where each text and each picture stands first in the file
    places: Mapping[str | Path, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)
