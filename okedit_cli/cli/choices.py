"""Values of options that are words or numbers, checked before anything is opened."""

from __future__ import annotations

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
