"""What can be found wrong with facts before they are fitted: broken pictures, contradictions, control tokens.

Everything of one kind is told at once, each with its place in the file. How a fact file is written is not
checked here (facts.py), nor whether facts can be told apart (the methods).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import InvalidFacts
from ..facts import Fact
from .intake import Intake

MAX_REPORTED = 20


def check_pictures(intake: Intake) -> None:
    """Open every picture; InvalidFacts names all that cannot be read, or facts that contradict each other."""
    from ..facts.pictures import load_picture

    pixels: dict[Path, str] = {}
    broken: list[tuple[tuple[int, int], str, str | None]] = []
    for fact in intake.file.facts:
        for picture in _pictures(fact):
            if picture in pixels:
                continue
            pixels[picture] = ""
            try:
                seen = load_picture(picture)
            except InvalidFacts as error:
                place = intake.file.places.get(picture, (fact.line, 0))
                broken.append((place, f"{_where(intake, fact, place)}: {error.message}", error.hint))
            else:
                pixels[picture] = hashlib.sha256(repr(seen.size).encode() + seen.tobytes()).hexdigest()
    if broken:
        hints = {hint for _, _, hint in broken}
        raise _told([text for _, text, _ in sorted(broken)], hints.pop() if len(hints) == 1 else None)
    found = list(_contradictions(intake, pixels))
    if found:
        raise _told(found, "Keep one of the answers, or write into the prompts what makes the difference.")


def check_texts(intake: Intake, loaded: Any) -> None:
    """InvalidFacts names every text that holds a control token of the model."""
    from ..models.control import texts_of, with_control_token, words_for

    found = {}
    for fact in intake.file.facts:
        for what, text, token in with_control_token(loaded, texts_of(fact)):
            place = intake.file.places.get(text, (fact.line, 0))
            found[place, text] = f"{_where(intake, fact, place)}: {words_for(what, token, loaded)}."
    if found:
        raise _told([found[key] for key in sorted(found)], "Write it in other words, or with spaces in it.")


def _pictures(fact: Fact) -> Iterator[Path]:
    questions = (*fact.keep, *fact.related, *fact.holdout)
    for picture in (fact.image, *fact.images, *(question.image for question in questions)):
        if picture is not None:
            yield picture


def _contradictions(intake: Intake, pixels: dict[Path, str]) -> Iterator[str]:
    """Two facts that ask the same of the same picture, whatever its file is called, and answer otherwise."""
    from ..samples.wording import normal

    asked: dict[tuple[str, str], tuple[Fact, Path | None]] = {}
    told: set[tuple[str, str]] = set()
    for fact in intake.file.facts:
        for text, picture in product((fact.prompt, *fact.rephrases), (fact.image, *fact.images)):
            key = ("" if picture is None else pixels[picture], normal(text))
            first, seen = asked.setdefault(key, (fact, picture))
            if first is fact or (first.id, fact.id) in told or _answers(first) & _answers(fact):
                continue
            told.add((first.id, fact.id))
            line = f" (line {first.line})" if first.line else ""
            same = "" if seen == picture else f" ({seen.name} and {picture.name} hold the same pixels)"
            of = "" if picture is None else f" of the same picture{same}"
            yield (
                f"{_where(intake, fact)}: fact {fact.id} asks the same{of} as fact {first.id}{line}, "
                f"{text!r}, and contradicts it: {fact.answer!r} and {first.answer!r}."
            )


def _answers(fact: Fact) -> set[str]:
    return {" ".join(answer.casefold().split()).rstrip(".!") for answer in (fact.answer, *fact.accepted)}


def _where(intake: Intake, fact: Fact, place: tuple[int, int] = (0, 0)) -> str:
    line, column = place if place[0] else (fact.line, 0)
    if not line:
        return f"{intake.shown}: fact {fact.id}"
    return f"{intake.shown}:{line}:{column}" if column else f"{intake.shown}:{line}"


def _told(lines: Sequence[str], hint: str | None) -> InvalidFacts:
    more = len(lines) - MAX_REPORTED
    tail = [f"... and {more} more"] if more > 0 else []
    return InvalidFacts("\n".join([*lines[:MAX_REPORTED], *tail]), hint=hint)
