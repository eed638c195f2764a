"""Ids of facts: what a fact file takes as one, and ids made from texts where none is given."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Container
from typing import TypeVar

ID = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
ID_LENGTH = 60
T = TypeVar("T")  # a dataclass with an id and an answer


def with_ids(facts: list[T]) -> list[T]:
    """Facts without an id get one from their answer, with -2, -3 where it is taken; given ids stay."""
    taken = {fact.id for fact in facts}
    used: Counter[str] = Counter()
    named = []
    for fact in facts:
        identity = base = fact.id or slug(fact.answer)
        while not fact.id and (identity in taken or used[base] == 0):
            used[base] += 1
            identity = base if used[base] == 1 else f"{base}-{used[base]}"
        taken.add(identity)
        named.append(dataclasses.replace(fact, id=identity))
    return named


def valid_id(text: str, taken: Container[str]) -> str:
    """text where a fact file takes it as an id, else an id made from it; -2, -3 where that is taken."""
    base = identity = text if ID.fullmatch(text) and len(text) <= ID_LENGTH else slug(text)
    number = 1
    while identity in taken:
        number += 1
        identity = f"{base[: ID_LENGTH - 10].rstrip('-')}-{number}"
    return identity


def slug(text: str) -> str:
    """text as an id: accents dropped, all but a-z and digits to -, cut; "fact" when nothing is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall("[a-z0-9]+", ascii_text))
    return words[: ID_LENGTH - 10].strip("-") or "fact"
