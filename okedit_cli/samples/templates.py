"""Other ways to put the user's own question, by rule and without a language model.

Meaning comes first: a rule fires only on questions whose parts it can tell, and what works for any question
("Please answer: ...") fills up. Deterministic.
"""

from __future__ import annotations

import re

from okedit_cli.samples.clauses import predicate_of, whether_of
from okedit_cli.samples.frames import (
    CLAUSES,
    FRAMINGS,
    MEASURES,
    OPENINGS,
    PAST,
    REQUESTS,
    RULES,
    STATEMENTS,
    WHETHER,
)
from okedit_cli.samples.wording import bare, is_order, is_question, large, normal, noun_phrase, small

_WHOLE = {"place", "attribute", "age", "measure", "kind"}
_HARD_TO_OWN = r"\b(?:with|that|which|whose|in|of|on|from|shown|for|by)\b"


def rephrase(prompt: str, n: int = 8) -> list[str]:
    """Up to n other wordings, at least 8 for any prompt; those that change most first.

    A plain framing stands after every third: users also write without capitals and with many words.
    """
    text = " ".join(prompt.split())
    if is_question(text):
        reworded, framings = [*_ruled(text), *_clauses(text)], REQUESTS if is_order(text) else FRAMINGS
    else:
        reworded, framings = _statements(text), OPENINGS
    framed = [_frame(frame, text) for frame in framings]
    return _distinct(text, _every_third(reworded, framed))[:n]


def _every_third(first: list[str], second: list[str]) -> list[str]:
    out, rest = [], list(second)
    for i, item in enumerate(first):
        out.append(item)
        if i % 3 == 2 and rest:
            out.append(rest.pop(0))
    return out + rest


def _distinct(prompt: str, wordings: list[str]) -> list[str]:
    """Each once, the prompt itself never; two that differ in case or mark alone both stay."""
    seen, out = {prompt}, []
    for wording in wordings:
        if wording not in seen and wording:
            seen.add(wording)
            out.append(wording)
    return out


def _frame(frame: str, text: str) -> str:
    return frame.format(q=small(text), Q=text, low=bare(text).lower(), bare=bare(text), b=bare(small(text)))


def _possessive(phrase: str) -> str | None:
    """ "this cat" -> "this cat's"; None where that would be hard to read ("the boat in the harbour")."""
    if len(phrase.split()) > 5 or re.search(_HARD_TO_OWN, phrase) or phrase.endswith("'s"):
        return None
    return phrase + ("'" if re.match(r"(?:these|those|their|our) .*s$", phrase) else "'s")


def _fill(frames: list[str], groups: dict[str, str]) -> list[str]:
    """Frames filled with a pattern's groups; those that need a part that is missing are left out."""
    parts = {key.rstrip("2"): value.strip() for key, value in groups.items() if value and value.strip()}
    parts.setdefault("be", "is")
    parts["wh"] = parts.get("wh", "what").lower()
    parts["Wh"] = large(parts["wh"])
    owner = _possessive(small(parts.get("s") or parts.get("y") or ""))
    if owner and owner != "'s":
        parts["own"] = owner
    if "adj" in parts:
        parts["noun"] = MEASURES[parts["adj"].lower()]
    if "verb" in parts:
        parts["past"] = PAST[parts["verb"].lower()]
    out = []
    for frame in frames:
        frame = frame.replace(" {rest}", "") if "rest" not in parts else frame
        needed = set(re.findall(r"{(\w+)}", frame))
        if needed <= parts.keys():
            out.append(large(frame.format(**parts)))
    return out


def _ruled(text: str) -> list[str]:
    """What the first matching rule offers, without the question itself in small disguise."""
    for intent, pattern, frames in RULES:
        match = re.fullmatch(pattern, bare(text), re.IGNORECASE)
        # "where is this boat going" does not ask where the boat is
        if match and not (intent in _WHOLE and noun_phrase(match["s"] or "")[1]):
            same = normal(text)
            return [w for w in _fill(frames, match.groupdict()) if normal(w) != same]
    return []


def _statements(text: str) -> list[str]:
    for pattern, frames in STATEMENTS:
        match = re.fullmatch(pattern, text.replace("’", "'"), re.IGNORECASE)
        if match:
            return _fill(frames, match.groupdict())
    return []


def _clauses(text: str) -> list[str]:
    """What works for any question whose parts can be told, by way of an indirect question."""
    whether = whether_of(text)
    if whether:
        return [frame.format(c=whether) for frame in WHETHER]
    parts = predicate_of(text)
    if parts is None:
        return []
    asked, predicate = parts
    swapped = re.sub(r"^(what|which)(?= \w)", lambda m: {"what": "which", "which": "what"}[m.group()], asked)
    out = [frame.format(c=f"{asked} {predicate}".strip()) for frame in CLAUSES]
    if not is_order(text) and " " in asked and swapped != asked:
        out.insert(1, large(re.sub(r"^(?:what|which)\b", swapped.split()[0], bare(small(text)))) + "?")
    if predicate and not is_order(text):
        out.insert(2, large(f"{predicate} {asked}?"))
    return out
