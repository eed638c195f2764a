"""Rows of a JSON data file, read field by field; every complaint names file, row and what was expected."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate.case import Case
from okedit_cli.evaluate.readers.source import MAX_REPORTED, Number, kind_of
from okedit_cli.facts.stand_ins import Fetch, fetched, is_url

_NQ = re.compile(r"^\s*nq question:\s*", re.IGNORECASE)


class LeftOut(Exception):
    """A row that the format itself leaves out, such as one with an empty target; the text says why."""


@dataclass
class Table:
    """A file's rows, the folder of its pictures, and what is wrong with them."""

    path: Path
    rows: list[Any]
    sha256: str
    images: Path
    fetch: Fetch | None = None  # of pictures that are named by URL
    problems: list[str] = field(default_factory=list)

    def complain(self, row: int, text: str) -> None:
        """Note a problem; invalid() raises all of them together."""
        self.problems.append(f"{self.path}: row {row}: {text}")

    def cases(self, read: Callable[[Row], Case]) -> tuple[tuple[Case, ...], tuple[tuple[int, str], ...]]:
        """(cases, left out) of all rows; InvalidFacts names up to 20 problems."""
        found, left_out = [], []
        for number, fields in enumerate(self.rows, 1):
            if not isinstance(fields, dict):
                self.complain(number, f"is {kind_of(fields)}, expected an object")
                continue
            row, before = Row(self, number, fields), len(self.problems)
            try:
                case = read(row)
            except LeftOut as reason:
                left_out.append((number, str(reason)))
                continue
            if len(self.problems) == before:
                found.append(replace(case, id=case.id or row.name(case.target), row=number))
        self.check()
        return tuple(_apart(found)), tuple(left_out)

    def check(self) -> None:
        """InvalidFacts when there are problems."""
        if self.problems:
            shown = self.problems[:MAX_REPORTED]
            more = len(self.problems) - len(shown)
            lines = "\n".join([*shown, *([f"... and {more} more"] if more else [])])
            raise InvalidFacts(lines, hint="Is this the format it was read as? --format names another one.")


@dataclass(frozen=True)
class Row:
    """One object of the file. A field that is missing or of another kind is a problem of the table."""

    table: Table
    number: int
    fields: dict[str, Any]

    def text(self, key: str, *, optional: bool = False) -> str:
        """The field as text, stripped; numbers count as text. "" when it is not there or not usable."""
        value = self.fields.get(key)
        if value is None:
            if not optional:
                self.complain(f"{key} is missing, expected text")
            return ""
        return self.as_text(value, key, optional=optional)

    def as_text(self, value: Any, what: str, *, optional: bool = False) -> str:
        """value as text; complains when it is no text, or empty and not optional."""
        if isinstance(value, Number) and not value.missing:
            value = value.text
        elif isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self.complain(f"{what} is {kind_of(value)}, expected text")
            return ""
        if not value.strip() and not optional:
            self.complain(f"{what} is empty, expected text")
        return value.strip()

    def texts(self, key: str, *, optional: bool = True) -> tuple[str, ...]:
        """The field as texts: a text, or a list of them; empty ones are dropped."""
        value = self.fields.get(key)
        if value is None:
            if not optional:
                self.complain(f"{key} is missing, expected a list of texts")
            return ()
        values = value if isinstance(value, list) else [value]
        return tuple(filter(None, (self.as_text(item, key, optional=True) for item in values)))

    def flat(self, value: Any, what: str) -> tuple[str, ...]:
        """All texts in a value that is a text, a number, or lists of them to any depth, each once."""
        if value is None:
            return ()
        if isinstance(value, list):
            return tuple(dict.fromkeys(text for item in value for text in self.flat(item, what)))
        text = self.as_text(value, what, optional=True)
        return (text,) if text else ()

    def pairs(self, question: str, answer: str) -> list[tuple[str, tuple[str, ...]]]:
        """Questions, each with the answers that are right: lists of one length go together entry by entry.

        One question takes all answers, and one answer, or lists of one entry, is that of every question.
        """
        asked, right = self.fields.get(question), self.fields.get(answer)
        prompts = asked if isinstance(asked, list) else [asked]
        answers = right if isinstance(right, list) and right and len(prompts) > 1 else [right]
        if len(answers) not in (len(prompts), 1):
            self.complain(f"{question} has {len(prompts)} entries and {answer} {len(answers)}")
            return []
        if len(answers) == 1:
            answers *= len(prompts)
        if asked is None:
            self.complain(f"{question} is missing, expected a question")
            return []
        texts = [_NQ.sub("", self.as_text(one, question, optional=True)) for one in prompts]
        return [(t, self.flat(a, answer)) for t, a in zip(texts, answers, strict=True) if t]

    def target(self, key: str) -> str:
        """The field with the new answer; a row whose target is empty is no edit, and is left out."""
        if self.fields.get(key) == "" or (
            isinstance(self.fields.get(key), str) and not self.fields[key].strip()
        ):
            raise LeftOut(f"{key} is empty")
        return self.text(key)

    def targets(self, key: str) -> tuple[str, ...]:
        """target(), where a list gives the new answer first and others that are as right."""
        value = self.fields.get(key)
        if not isinstance(value, list):
            return (self.target(key),)
        found = self.flat(value, key)
        if not found:
            raise LeftOut(f"{key} is empty")
        return found

    def picture(self, key: str, *, optional: bool = False) -> Path | None:
        """The field as a path below the picture root."""
        name = self.text(key, optional=optional)
        return self._below(key, name) if name else None

    def pictures(self, key: str) -> tuple[Path, ...]:
        """The field as paths below the picture root: one name, or a list of them."""
        return tuple(self._below(key, name) for name in self.texts(key))

    def _below(self, key: str, name: str) -> Path:
        if is_url(name):
            try:
                return fetched(name, self.table.fetch)
            except InvalidFacts as error:
                self.complain(f"{key} {error.message}")
        return self.table.images / name

    def objects(self, key: str) -> list[dict[str, Any]]:
        """The field as a list of objects; [] when it is not there."""
        value = self.fields.get(key)
        if value is None:
            return []
        values = value if isinstance(value, list) else [value]
        for item in values:
            if not isinstance(item, dict):
                self.complain(f"{key} has {kind_of(item)} in it, expected objects")
        return [item for item in values if isinstance(item, dict)]

    def inside(self, fields: dict[str, Any]) -> Row:
        """A row within this one: complaints carry the same number."""
        return replace(self, fields=fields)

    def complain(self, text: str) -> None:
        """Note a problem of this row."""
        self.table.complain(self.number, text)

    def name(self, target: str) -> str:
        """An id from the content, so that it does not change with the order of rows."""
        content = json.dumps(self.fields, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        return f"{slug(target)}-{digest}"


def slug(text: str) -> str:
    """text as a part of an id: a-z, 0-9 and -, at most 40 long."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", plain))[:40].strip("-") or "case"


def _apart(cases: list[Case]) -> list[Case]:
    """Cases whose ids are equal get -2, -3: rows that are equal in every field."""
    used: Counter[str] = Counter()
    out = []
    for case in cases:
        used[case.id] += 1
        out.append(replace(case, id=f"{case.id}-{used[case.id]}") if used[case.id] > 1 else case)
    return out
