"""Which texts the default text encoder understands, and which texts are near copies of one.

The encoder and the pair classifier were trained on English. In another language they cannot tell what is
asked, so a fact there answers near copies of its own wordings only. Not here: a multilingual encoder, which
--text-encoder brings.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata

from okedit_cli.bounded import remembering

RIVAL = 50  # times likelier than English another language must be; of English texts 2 in 1,000 are
SHORT = 8  # letters; shorter texts are taken for English where their letters are


@functools.cache
def _identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@remembering(20_000)
def is_covered(text: str) -> bool:
    """Whether the default encoder may be asked about a text: English, or too short to tell."""
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < 0.7 * len(letters):
        return False
    if len(letters) < SHORT:
        return True
    ranked = dict(_identifier().rank(text))
    return max(ranked.values()) < RIVAL * ranked["en"]


@remembering(20_000)
def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", text.casefold()).replace("ß", "ss")
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    found = re.findall(r"\w+", plain)
    if any(ord(c) > 0x2E80 for c in plain):  # scripts without spaces: each sign counts
        return tuple(c for word in found for c in word)
    return tuple(found)


def is_near_copy(one: str, other: str) -> bool:
    """Whether two texts have the same words but for case, marks, accents, order, a short word added, or a
    typing error.
    """
    first, second = set(_words(one)), set(_words(other))
    extra = first - second, second - first
    if any(c.isdigit() for words in extra for word in words for c in word) or len(first & second) < 2:
        return False
    if not extra[0] or not extra[1]:
        return len(extra[0]) + len(extra[1]) <= 2 and all(len(word) <= 6 for words in extra for word in words)
    if len(extra[0]) == len(extra[1]) == 1:
        [a], [b] = extra
        return min(len(a), len(b)) >= 6 and difflib.SequenceMatcher(None, a, b).ratio() >= 0.85
    return False
