"""What a text asks once what stands around its question is left out.

"We are at the pub quiz. Who wrote Faust? Answer in one word." asks "Who wrote Faust?". Whole sentences are
left out, and only statements and orders: of two questions nobody can tell which is meant.
"""

from __future__ import annotations

import re

from .wording import PICTURE_WORDS, is_order

# after these a full stop ends no sentence, whatever follows ...
_SHORT = "mr mrs ms dr prof st mt ft gen col lt sgt rev hon fig vs cf approx".split()
# ... and after these, and within a number, where it goes on in small letters or figures
_SHORT_WITHIN = "no nos vol vols pp ed eds jr sr inc ltd co corp llc etc e.g i.e a.m p.m ca".split()
_END = re.compile(r"(?<![.!?])[.!?]+[\"'”’)\]]*\s+|\n\s*")
_LOOK = 40  # characters on either side of a mark tell what it is


def question_alone(text: str) -> str | None:
    """The one question of a text of several sentences, with an answer begun behind it; None where nothing
    stands around it, or where it cannot be told.

    A text without a question mark asks for its end ("... The capital of France is") or in one order.
    """
    sentences = _sentences(text)
    asking = [i for i, one in enumerate(sentences) if _marked(one).endswith("?")]
    begun = sentences[-1:] and not _marked(sentences[-1]).endswith((".", "!", "?"))
    if len(asking) > 1:
        return None
    if asking:
        last = len(sentences) - 1 if begun else asking[0]
        found = " ".join(sentences[asking[0] : last + 1])
    elif begun:
        found = sentences[-1]
    else:
        orders = [one for one in sentences if is_order(one)]
        found = orders[0] if len(orders) == 1 else ""
    return found if found and len(found) < len(" ".join(sentences)) else None


def points_at_picture(question: str) -> bool:
    """Whether a question says by itself that it is about the picture, and leans on nothing said before."""
    leans = r"\b(?:it|its|he|his|him|she|hers?|they|them|their|that|those|one|ones|same|other|also|too)\b"
    points = re.search(rf"\b(?:this|the) {PICTURE_WORDS}\b", question, re.IGNORECASE)
    return points is not None and re.search(leans, question, re.IGNORECASE) is None


def _marked(sentence: str) -> str:
    """Without quotes and brackets behind its mark."""
    return sentence.rstrip("\"'”’)] ")


def _sentences(text: str) -> list[str]:
    """The sentences of a text, lines apart; what is shortened with a full stop ends none."""
    out, start = [], 0
    for end in _END.finditer(text):
        before = text[max(start, end.start() - _LOOK) : end.end()].rstrip()
        if "\n" in end.group() or not _goes_on(before, text[end.end() : end.end() + _LOOK]):
            out.append(text[start : end.end()].strip())
            start = end.end()
    return [one for one in (*out, text[start:].strip()) if re.search(r"\w", one)]


def _goes_on(before: str, after: str) -> bool:
    """Whether a sentence goes on behind a mark: after an initial, a title, "Inc." or what somebody says."""
    next_one = after.lstrip("\"'“‘([")[:1]
    found = re.search(r"([\w.]*\w)\.$", before)
    if found is None:
        return before[-1:] not in tuple(".!?") and next_one.islower()  # '"Who is it?" he asked'
    word = found.group(1)
    if len(word) == 1:
        return word.isupper()  # "W. T. Cosgrave"
    known = word.casefold()
    return known in _SHORT or (known in _SHORT_WITHIN and (next_one.islower() or next_one.isdigit()))
