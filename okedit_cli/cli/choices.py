"""Values of options that are words or numbers, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import UsageError
from ..facts import REACHES, FactFile


def context_of(value: str) -> str:
    """The value of --context; UsageError for another word."""
    if value not in ("auto", "on", "off"):
        raise UsageError(f"--context is {value!r}, expected auto, on or off.")
    return value


def reaching(file: FactFile, reach: str | None) -> FactFile:
    """The facts with this reach, but for those that say their own."""
    if reach is None:
        return file
    if reach not in REACHES:
        raise UsageError(f"--reach is {reach!r}, expected one of {', '.join(REACHES)}.")
    facts = (replace(fact, reach=reach) if fact.reach == "auto" else fact for fact in file.facts)
    return replace(file, facts=tuple(facts))


def layer_of(value: str | int) -> str | int:
    """The value of --layer; UsageError for what is no layer."""
    text = str(value)
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"--layer {text} is no layer, expected auto or a number from 0.")
    return int(text)


def percent_of(name: str, bar: float) -> float:
    """The value of a --min-* bar; UsageError for what looks like a share."""
    if 0 < bar < 1:
        flag = f"--min-{name.replace('_', '-')}"
        raise UsageError(f"{flag} {bar:g} is less than one percent.", hint=f"Percent: {flag} {100 * bar:g}")
    return bar


def numbers_of(name: str, given: Sequence[str] | None) -> list[int]:
    """Whole numbers from repeated options, each a number or several with commas or spaces."""
    words = [word for text in given or () for word in text.replace(",", " ").split()]
    for word in words:
        if not (word.isascii() and word.isdecimal() and int(word) > 0):
            raise UsageError(f"--{name} {word}: expected whole numbers from 1, such as 10,100.")
    return [int(word) for word in words]
