"""Facts as a bundle's manifest lists them, and back: pictures go by the sha256 of their files. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from okedit_cli.bundle.header import REMAKE
from okedit_cli.errors import InvalidBundle
from okedit_cli.facts import REACHES, Fact, Question, valid_id
from okedit_cli.facts.pictures import picture_sha256
from okedit_cli.samples.wording import is_exact

QUESTIONS = ("keep", "related", "holdout")
_SHA256 = re.compile("[0-9a-f]{64}")
_KINDS = (
    (b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)  # fmt: skip


def is_verbatim(fact: Fact) -> bool:
    """Whether a fact's answer is to be said word for word: as the fact has it, else by the answer."""
    return is_exact(fact.answer) if fact.verbatim is None else fact.verbatim


def row_of(fact: Fact) -> dict[str, Any]:
    """A fact as the manifest lists it; reads its pictures' files. InvalidFacts: one cannot be read."""
    row: dict[str, Any] = {"id": fact.id, "prompt": fact.prompt, "answer": fact.answer}
    if fact.accepted:
        row["accepted"] = list(fact.accepted)
    if fact.image is not None:
        row["picture_sha256"] = picture_sha256(fact.image)
    if (held := is_verbatim(fact)) or is_exact(fact.answer):
        row["verbatim"] = held
    row["rephrases"] = list(fact.rephrases)
    if fact.images:
        row["images"] = [picture_sha256(image) for image in fact.images]
    for kind in QUESTIONS:
        if questions := getattr(fact, kind):
            row[kind] = [_question_row(question) for question in questions]
    return row


def _question_row(question: Question) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": question.prompt}
    row["picture_sha256"] = None if question.image is None else picture_sha256(question.image)
    return row if question.answer is None else {**row, "answer": question.answer}


def pictures_of(facts: Iterable[Fact]) -> set[Path]:
    """Every picture file that facts refer to."""
    found: set[Path | None] = set()
    for fact in facts:
        found |= {fact.image, *fact.images}
        found |= {question.image for kind in QUESTIONS for question in getattr(fact, kind)}
    return {path for path in found if path is not None}


def picture_name(sha256: str, data: bytes | None) -> str:
    """What a picture's file is called where it is written out; one that is not there has a telling name."""
    if data is None:
        return f"not-in-the-bundle-{sha256[:16]}"
    ending = next((ending for start, ending in _KINDS if data.startswith(start)), ".img")
    return sha256[:16] + (".webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ending)


def facts_of(
    rows: Sequence[Mapping[str, Any]], where: Mapping[str, Path], folder: Path, shown: str
) -> list[Fact]:
    """The facts that a manifest lists, with ids that a fact file takes.

    `where` maps the sha256 of each picture to its file; one that it lacks would lie in `folder`.
    InvalidBundle: a row that no fact file can say.
    """
    reader = _RowReader(where, folder, shown)
    taken: set[str] = set()
    return [reader.fact(row, taken) for row in rows]


class _RowReader:
    """Rows from strangers: a type that is not the documented one is told with the fact's id."""

    def __init__(self, where: Mapping[str, Path], folder: Path, shown: str) -> None:
        self.where, self.folder, self.shown, self.id = where, folder, shown, ""

    def fact(self, row: Mapping[str, Any], taken: set[str]) -> Fact:
        self.id = str(row["id"])
        name = valid_id(self.id, taken)
        taken.add(name)
        return Fact(
            id=name,
            prompt=self._text(row.get("prompt"), "prompt"),
            answer=self._text(row.get("answer"), "answer"),
            image=self._picture(row.get("picture_sha256"), "picture_sha256"),
            rephrases=tuple(self._text(text, "rephrases") for text in self._list(row, "rephrases")),
            images=tuple(filter(None, (self._picture(one, "images") for one in self._list(row, "images")))),
            accepted=tuple(self._text(text, "accepted") for text in self._list(row, "accepted")),
            reach=row["reach"] if row.get("reach") in REACHES else "auto",
            verbatim=_verbatim(row),
            **{kind: tuple(self._question(one, kind) for one in self._list(row, kind)) for kind in QUESTIONS},
        )

    def _list(self, row: Mapping[str, Any], name: str) -> list:
        value = row.get(name) or []
        return value if isinstance(value, list) else self._refuse(name, "a list")

    def _text(self, value: Any, name: str) -> str:
        if isinstance(value, str) and value.strip():
            return value
        return self._refuse(name, "text")

    def _picture(self, value: Any, name: str) -> Path | None:
        if value is None:
            return None
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            self._refuse(name, "the sha256 of a picture")
        return self.where.get(value) or self.folder / picture_name(value, None)

    def _question(self, value: Any, kind: str) -> Question:
        if not isinstance(value, dict):
            self._refuse(kind, "a list of questions")
        answer = value.get("answer")
        if answer is not None or kind == "related":
            answer = self._text(answer, kind)
        image = self._picture(value.get("picture_sha256"), kind)
        return Question(self._text(value.get("prompt"), kind), image, answer)

    def _refuse(self, name: str, expected: str) -> Any:
        raise InvalidBundle(
            f"{self.shown}: fact {self.id[:80]!r}: {name} is not what okedit writes, expected {expected}.",
            hint=REMAKE,
        )


def _verbatim(row: Mapping[str, Any]) -> bool | None:
    """What a fact file says of a row; None where the answer says as much."""
    found = row.get("verbatim")
    return found if isinstance(found, bool) and found != is_exact(str(row.get("answer"))) else None
