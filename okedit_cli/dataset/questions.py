"""The questions of a case: prompt, rephrasings, and what is asked that the edit must not change."""

from __future__ import annotations

import random
import re
from collections.abc import Container, Sequence
from typing import Any, TypeVar

from okedit_cli.dataset.things import Thing, fold, stock

REPHRASED = 10
ABOUT, BESIDE = 2, 1  # questions on the edit's own picture: about its looks, and of general knowledge
_PARITY = {"test": 0, "fit": 1, "report": 0, "calibrate": 1}
_A_NOUN = re.compile(r"\ba \{noun\}", re.IGNORECASE)
_T = TypeVar("_T")

_MEDIA = {
    "medium": {
        "drawing": ["drawing", "a drawing", "illustration", "cartoon"],
        "photograph": ["photograph", "a photograph", "photo"],
    },
    "made": {
        "drawing": ["drawn", "it was drawn"],
        "photograph": ["taken with a camera", "with a camera", "camera"],
    },
}


def half(items: Sequence[_T], split: str) -> list[_T]:
    """Every second item: what one split may draw from; the two halves have nothing in common."""
    return list(items[_PARITY[split] :: 2])


def prompt(type: str, thing: Thing, rng: random.Random) -> str:
    """One of the type's own questions about the thing. Both splits ask in these few forms."""
    words = stock("questions")[type]
    territory = type == "flag" and thing.noun != "country"
    return _filled(rng.choice(words["territory" if territory else "prompts"]), thing)


def rephrased(type: str, thing: Thing, split: str, asked: str, rng: random.Random) -> list[str]:
    """REPHRASED questions that ask the same as the prompt, drawn from the split's half of the wordings."""
    texts = [_filled(text, thing) for text in half(stock("questions")[type]["wordings"], split)]
    return rng.sample([text for text in texts if fold(text) != fold(asked)], REPHRASED)


def _filled(text: str, thing: Thing) -> str:
    article = "an" if thing.noun[0] in "aeiou" else "a"
    text = _A_NOUN.sub(f"{article} {{noun}}", text)
    return text.replace("{noun}", thing.noun).replace("{land}", thing.noun)


def same_picture(
    thing: Thing, split: str, rng: random.Random, without: Container[str] = ()
) -> list[dict[str, Any]]:
    """[{question, answer}] about the edit's picture whose answers do not follow from what it shows; `without`
    questions that such an answer is right for.
    """
    words = stock("others")
    about = half(words["same_image"], split)
    asked = rng.sample([r for r in about if not any(a in without for a in r.get("answers", ()))], ABOUT)
    fitting = [row for row in half(words["beside"], split) if thing.sort not in row.get("not", ())]
    asked += rng.sample(fitting, BESIDE)
    return [{"question": row["question"], "answer": _answer(row, thing)} for row in asked]


def _answer(row: dict[str, Any], thing: Thing) -> list[str]:
    """The accepted answers; [] where nobody can be sure."""
    by = row.get("by")
    if by is None:
        return list(row.get("answers", []))
    if by in _MEDIA:
        return _MEDIA[by].get(thing.medium, [])
    if thing.kind == "photograph" or (thing.kind == "stamp" and by in ("number", "people")):
        return []
    if by == "ground":
        return ["white"]
    if by == "plain":
        return ["plain"]
    if by == "people":
        return ["no"]
    several = thing.name.endswith("s") or " of " in thing.name or " and " in thing.name
    return [] if several or thing.near in ("flowers", "cooked / prepared", "other places") else ["one", "1"]


def other_text(thing: Thing, split: str, rng: random.Random) -> tuple[str, list[str]]:
    """A question without a picture and its answers: for half the cases near in words to the edit."""
    rows = half(stock("others")["loc"], split)
    # an answer that names the thing itself would not be apart from the edit
    free = [row for row in rows if not thing.words & set(map(fold, row["answers"]))]
    near = [row for row in free if row.get("near") == thing.sort]
    row = rng.choice(near if near and rng.random() < 0.5 else free)
    return row["question"], list(row["answers"])
