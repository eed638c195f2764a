"""Example edits that editors are trained on, out of data sets of the field as they are published.

Two forms of rows: those of zsRE, VLKEB and MMEdit (`src`, `alt`, `rephrase`, `loc`, ...), and OKEDIT's
(`question`, `counterfact_answer`, ...). What a row lacks, its case does without. Not here: evaluating.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okedit_cli.errors import UsageError

EXPECTED = "Expected a JSON list of rows like zsRE's (src, alt, ...) or OKEDIT's (question, ...)."
NQ = "nq question: "  # which the rows of zsRE put before their locality questions


@dataclass(frozen=True)
class Question:
    """A prompt, its picture if any, and what is answered."""

    prompt: str
    picture: Path | None
    answer: str


@dataclass(frozen=True)
class Case:
    """One example edit: its question with the `old` answer and the new one, other wordings, other pictures of
    the same thing, and questions whose answers must stay as they are.
    """

    edit: Question
    old: str
    rephrases: tuple[str, ...]
    views: tuple[Path, ...]
    kept_words: tuple[Question, ...]
    kept_pictures: tuple[Question, ...]

    def positives(self) -> Iterator[Question]:
        """What the edit must answer besides its own question: reworded, seen otherwise."""
        for prompt in self.rephrases:
            yield Question(prompt, self.edit.picture, self.edit.answer)
        for picture in self.views:
            yield Question(self.edit.prompt, picture, self.edit.answer)


def read_cases(path: str | Path, most: int | None = None) -> list[Case]:
    """The cases of a JSON file, at most the first `most` rows; UsageError: no such file, no such rows."""
    path = Path(path)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"{path} cannot be read.", hint="Give the JSON file of a data set.") from None
    except ValueError:
        raise UsageError(f"{path} is no JSON.", hint=EXPECTED) from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} holds no list of rows.", hint=EXPECTED)
    out = []
    for number, row in enumerate(rows[:most]):
        reader = _okedit if "counterfact_answer" in row else _zsre if "alt" in row else None
        try:
            if reader is None:
                raise KeyError("alt")
            case = reader(row, path.parent)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise UsageError(f"{path}: row {number + 1} lacks {error}.", hint=EXPECTED) from None
        if case.edit.answer.strip():  # a row of zsRE with an empty `alt` is no edit
            out.append(case)
    return out


def split(cases: Sequence[Case], held_out: int) -> tuple[list[Case], list[Case]]:
    """(trained on, held out): the latter spread evenly over the file."""
    held_out = min(held_out, len(cases) // 2)
    places = {(2 * n + 1) * len(cases) // (2 * held_out) for n in range(held_out)}
    parts: tuple[list[Case], list[Case]] = [], []
    for number, case in enumerate(cases):
        parts[number in places].append(case)
    return parts


def sha256_of(path: str | Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _okedit(row: dict[str, Any], folder: Path) -> Case:
    picture = folder / row["image"]
    answers = [one["answer"] for one in row["answers"]]
    near = zip(row.get("locality_image", ()), row.get("locality_answer", ()), strict=False)
    asked = [Question(row["question"], folder / image, _first(answer)) for image, answer in near]
    asked += [
        Question(one["question"], picture, _first(one["answer"]))
        for one in row.get("same_image", ())
        if _first(one["answer"])
    ]
    words = [Question(row["loc"], None, _first(row["loc_ans"]))] if row.get("loc") else []
    return Case(
        Question(row["question"], picture, row["counterfact_answer"]), answers[0],
        tuple(row.get("rephrased_questions", ())),
        tuple(folder / one for one in row.get("image_rephrase", ())),
        tuple(words), tuple(asked),
    )  # fmt: skip


def _zsre(row: dict[str, Any], folder: Path) -> Case:
    def picture(name: str) -> Path | None:
        return folder / row[name] if row.get(name) else None

    words, pictures, views = [], [], [one for one in (picture("image_rephrase"),) if one]
    if row.get("loc"):
        words.append(Question(row["loc"].removeprefix(NQ), None, _first(row["loc_ans"])))
    if row.get("m_loc"):
        pictures.append(Question(row["m_loc_q"], picture("m_loc"), _first(row["m_loc_a"])))
    return Case(
        Question(row["src"], picture("image"), row["alt"]),
        _first(row.get("pred") or row.get("answers") or ""),
        (row["rephrase"],) if row.get("rephrase") else (), tuple(views), tuple(words), tuple(pictures),
    )  # fmt: skip


def _first(answer: Any) -> str:
    """An answer, or the first of several."""
    return str(
        answer[0] if isinstance(answer, list) and answer else "" if isinstance(answer, list) else answer
    )
