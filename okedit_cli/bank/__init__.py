"""The reference bank that ships with okedit: other questions and pictures, which an edit must leave alone.

questions.yaml: one intent asked of one subject a group, in several wordings; by tools/bank/questions.py.
pictures/: 96 small pictures in groups of things that look alike; by tools/bank/pictures.py.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from okedit_cli.samples.wording import normal

if TYPE_CHECKING:
    from PIL import Image

FOLDER = Path(__file__).parent
PICTURE = "the picture"  # the subject of questions about a picture as a whole


@dataclass(frozen=True)
class QuestionGroup:
    """One intent ("capital") asked of one subject ("Peru"), in several wordings."""

    intent: str
    subject: str
    wordings: tuple[str, ...]

    @cached_property
    def plain(self) -> frozenset[str]:
        """Its wordings in normal form."""
        return frozenset(map(normal, self.wordings))

    @property
    def about_picture(self) -> bool:
        """Whether it can only be asked with a picture at hand."""
        return self.subject == PICTURE or self.subject.startswith("this ")

    @property
    def noun(self) -> str | None:
        """The thing that the picture must show, or None: "cat" for "this cat"."""
        return self.subject[5:] if self.subject.startswith("this ") else None


@dataclass(frozen=True, eq=False)
class BankPicture:
    """A small picture (RGB); things of one group look alike or are of one kind."""

    name: str
    group: str
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Bank:
    questions: tuple[QuestionGroup, ...]
    pictures: tuple[BankPicture, ...]
    version: str  # 12 hex digits of the sha256 over both
    _by_wording: dict[str, QuestionGroup] = field(repr=False, default_factory=dict)

    def group_of(self, text: str) -> QuestionGroup | None:
        """The group that has this question in some wording, whatever its case and marks."""
        return self._by_wording.get(normal(text))


@lru_cache(maxsize=1)
def load_bank() -> Bank:
    """Read the bank once; callers must not draw on its pictures."""
    import yaml

    from okedit_cli.facts.pictures import load_picture

    text = (FOLDER / "questions.yaml").read_bytes()
    digest = hashlib.sha256(text)
    rows = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    questions = tuple(QuestionGroup(row["intent"], row["subject"], tuple(row["wordings"])) for row in rows)
    pictures = []
    for row in json.loads((FOLDER / "pictures/index.json").read_text(encoding="utf-8")):
        path = FOLDER / "pictures" / row["file"]
        digest.update(path.read_bytes())
        pictures.append(BankPicture(row["name"], row["group"], load_picture(path)))
    by_wording = {wording: group for group in questions for wording in group.plain}
    return Bank(questions, tuple(pictures), digest.hexdigest()[:12], by_wording)
