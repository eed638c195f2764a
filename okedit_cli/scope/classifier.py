"""The second stage: does a query ask for what a fact's prompt asks for (ANSWERS), for what follows, or
something else?

The pair classifier judges the query against the fact's own wordings, the nearest few of them, and against
what its owner wants kept: `rephrases` and `keep` are the classifier's examples for this edit. Not here:
pictures.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from okedit_cli.encoders import pair
from okedit_cli.encoders.text import text_vectors
from okedit_cli.samples.wording import normal
from okedit_cli.scope.calibration import calibration
from okedit_cli.scope.language import is_covered, is_near_copy
from okedit_cli.scope.texts import compared

LABELS = ("answers", "follows", "other")
WORDINGS, KEPT = 3, 2  # of a fact's wordings and of what it keeps, the nearest that are compared with a query


@dataclass(frozen=True)
class Judgement:
    """`label`, and `score`: the log odds of ANSWERS, of the wording that speaks most for it. `reason` in
    words.
    """

    label: str
    score: float
    reason: str = ""

    @property
    def distance(self) -> float:
        """How far from ANSWERS, above 0, and 1 at the calibrated border: what strictness moves."""
        borders = calibration()
        return math.exp((borders.answers - self.score) / borders.steep)


CERTAIN = 12.0  # log odds of a wording that is the fact's own


def judge(fact: Mapping[str, Any], query: str) -> Judgement:
    """Judge a query against one fact as a manifest lists it."""
    own, kept = own_prompts(fact), kept_prompts(fact)
    asked = normal(query)
    if asked in map(normal, own):
        return Judgement("answers", CERTAIN)
    if asked in map(normal, kept):
        return Judgement("other", -CERTAIN, "its owner keeps this question")
    if not is_covered(own[0]) or not is_covered(query):
        if any(is_near_copy(one, query) for one in own):
            return Judgement("answers", calibration().answers + calibration().steep / 2)
        return Judgement(
            "other", -CERTAIN, "in this language only near copies of the fact's wordings are answered"
        )
    pairs = _pairs(own, query, WORDINGS)
    if not pairs:
        return Judgement("other", -CERTAIN, "the fact is about a text that the question does not hold")
    scores, labels = _scores(pairs)
    best = max(range(len(scores)), key=scores.__getitem__)
    found = Judgement(labels[best], scores[best])
    if found.label != "answers" and "follows" in labels:
        found = Judgement("follows", scores[best])
    if kept and found.label == "answers":
        near = _pairs(kept, query, KEPT)
        against = _scores(near)[0] if near else [-CERTAIN]
        if max(against) > found.score:
            return Judgement(
                "other", found.score - max(against), "it is nearer to a question that its owner keeps"
            )
    return found


def contradict(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two facts about the same picture, or both about none, answer the same question differently."""
    answers = [normalised_answer(str(fact.get("answer", ""))) for fact in (one, other)]
    return answers[0] != answers[1] and asks_alike(one, other)


def asks_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether either's prompt asks for what the other's does."""
    if normal(str(one["prompt"])) == normal(str(other["prompt"])):
        return True
    pairs = ((one, other), (other, one))
    return any(judge({"prompt": a["prompt"]}, str(b["prompt"])).label == "answers" for a, b in pairs)


def normalised_answer(answer: str) -> str:
    """An answer without case, spacing and closing punctuation."""
    return " ".join(unicodedata.normalize("NFKC", answer).casefold().split()).strip(" .!?,;:\"'")


def read_ahead(facts: Sequence[Mapping[str, Any]], query: str) -> None:
    """Read a query's pairs with several facts at once, which takes half the time of one by one."""
    asked, covered = normal(query), is_covered(query)
    pairs = []
    for own in map(own_prompts, facts):
        if covered and is_covered(own[0]) and asked not in map(normal, own):
            pairs += _pairs(own, query, WORDINGS)
    if len(pairs) > 1:
        pair.judge_pairs(pairs)


def own_prompts(fact: Mapping[str, Any]) -> list[str]:
    """The fact's prompt and its owner's other wordings."""
    return [str(fact.get("prompt", "")), *map(str, fact.get("rephrases") or ())]


def kept_prompts(fact: Mapping[str, Any]) -> list[str]:
    """What an edit must not answer, of the questions about its own pictures."""
    own = [fact.get("picture_sha256"), *(fact.get("images") or ())]
    kept = [one for one in fact.get("keep") or () if isinstance(one, dict)]
    return [str(one.get("prompt", "")) for one in kept if one.get("picture_sha256") in own]


def nearest(texts: Sequence[str], query: str, count: int) -> list[str]:
    """The texts that lie nearest to a query, of many."""
    if len(texts) <= count:
        return list(texts)
    order = (text_vectors(texts) @ text_vectors([query])[0]).argsort(descending=True)
    return [texts[row] for row in order[:count].tolist()]


def _pairs(texts: Sequence[str], query: str, count: int) -> list[tuple[str, str]]:
    """(prompt, query) of the nearest texts, as the classifier can read them."""
    return [one for one in (compared(text, query) for text in nearest(texts, query, count)) if one]


def _scores(pairs: Sequence[tuple[str, str]]) -> tuple[list[float], list[str]]:
    """Log odds of ANSWERS and the likeliest class of each (prompt, query)."""
    found = pair.judge_pairs(pairs)
    rest = found[:, [pair.FOLLOWS, pair.OTHER]].logsumexp(1)
    return (found[:, pair.ANSWERS] - rest).tolist(), [LABELS[row] for row in found.argmax(1).tolist()]
