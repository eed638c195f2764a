"""Long texts with a question in them: what of one is looked for, and what of two is compared.

The encoder and the pair classifier read the beginning of a text only, so behind one long text every question
looked alike to them. Texts that do not fit the classifier are compared by what is asked in them, and only
where they are the same text. Not here: what the classifier makes of a pair.
"""

from __future__ import annotations

import difflib
import re

from okedit_cli.bounded import remembering
from okedit_cli.encoders import pair
from okedit_cli.samples.wording import is_order, normal

WORDS = 80  # of a longer text that are looked for: its end
SLIP, SLIP_IN = 0.8, 4  # likeness of a word and its misspelling; letters of the shortest that has one
SAME = 0.6  # share of the words of two texts that both have, from which they are one text
_ENDS = re.compile(
    r"(?<=[.!?:])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|No)\.)(?<!\b(?:Mrs|etc|Inc|Ltd)\.)(?<!\bProf\.)\s+|\s*\n\s*"
)


def windows(text: str) -> list[str]:
    """What of a text is looked for: its beginning (all that the encoder reads), its end, its last sentence,
    and its last sentence that is a question.
    """
    parts = re.split(r"(?<=[.!?:])\s+", " ".join(text.split()))
    asking = [one for one in parts if one.endswith("?")]
    return list(dict.fromkeys([" ".join(parts), " ".join(text.split()[-WORDS:]), parts[-1], *asking[-1:]]))


def keys_of(text: str) -> list[str]:
    """What a fact's wording is found by: itself, and of a text that is longer than is read what is asked."""
    return [text] if len(text.split()) <= WORDS else [text, asked(text)]


def asked(text: str) -> str:
    """The last sentence that asks or orders; the last of all where none does."""
    parts = sentences(text)
    asking = [one for one in parts if one.endswith("?") or (is_order(one) and " " in one)]  # "Answer:"
    return asking[-1] if asking else parts[-1]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, at least one."""
    return [one for one in _ENDS.split(text.strip()) if one] or [text]


def is_judged(prompt: str) -> bool:
    """Whether what a fact's prompt asks can be compared with a question of the same length."""
    return pair.fits(prompt, prompt) or pair.fits(asked(prompt), asked(prompt))


@remembering(20_000)
def compared(prompt: str, query: str) -> tuple[str, str] | None:
    """What the classifier judges of a fact's prompt and a query: both, or of long texts what is asked in
    each; None where a long prompt's text is not the query's.
    """
    if pair.fits(prompt, query):
        return prompt, query
    if not pair.fits(prompt, prompt) and not _same_text(prompt, query):
        return None
    ours, theirs = sentences(prompt), sentences(query)

    def own(parts: list[str], others: list[str], question: str) -> str:
        words = [normal(one).split() for one in others]
        return " ".join(
            one for one in parts if one == question or not any(_alike(normal(one).split(), w) for w in words)
        )

    questions = asked(prompt), asked(query)
    whole = own(ours, theirs, questions[0]), own(theirs, ours, questions[1])
    return whole if pair.fits(*whole) else questions


def _alike(one: list[str], other: list[str]) -> bool:
    """Whether two sentences are the same but for slips of the pen."""
    return len(one) == len(other) and all(a == b or _is_slip(a, b) for a, b in zip(one, other, strict=True))


def _is_slip(one: str, other: str) -> bool:
    """Whether one word is another with a letter or two misplaced; a number never is."""
    if not (one.isalpha() and other.isalpha()) or min(len(one), len(other)) < SLIP_IN:
        return False
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() >= SLIP


def _same_text(prompt: str, query: str) -> bool:
    first, second = set(normal(prompt).split()), set(normal(query).split())
    return len(first & second) >= SAME * len(first | second)
