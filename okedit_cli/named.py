"""Questions in words about somebody: judged by what they ask of whoever is named.

Names are a good part of what a question means: one that gives an edit's name may lie within the edit's
radius and ask for something else, or beyond it and ask for the same in other words. So the name is taken out,
"it" in its place, and the relation encoder compares what is left with the fact's own wordings and with what
its owner keeps: what surely asks for the same is answered beyond the radius, too, and what is nowhere near to
it is not answered within (what that is worth: tools/bank/judge_names.py).
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.codebook import Match
from okedit_cli.edits.decision import Nearest
from okedit_cli.models.features import QUESTIONS
from okedit_cli.models.sentences import relation_border, relation_radius, relation_vectors
from okedit_cli.naming import last_words, named_as, plain_words
from okedit_cli.wording import mentions

if TYPE_CHECKING:
    from okedit_cli.asked import Asked
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

STAND_IN = "it"
KNOWN = 64  # bundles whose names are looked up at a time


class Names:
    """Whom the facts of a bundle are about, by the last words of their names."""

    def __init__(self, facts: Sequence[Mapping[str, Any]]) -> None:
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, fact in enumerate(facts):
            for word in last_words(str(fact.get("whom") or "")):
                self._rows[word].append(row)

    def near(self, text: str) -> list[int]:
        """Rows in order, among them all whom a text names."""
        if not self._rows:
            return []
        return sorted({row for word in set(plain_words(text)) for row in self._rows.get(word, ())})


def of_whom(asked: Asked) -> list[Nearest]:
    """Edits about whom a question in words names, however far what it asks is from them."""
    if asked.picture is not None:
        return []
    found = []
    for number, bundle in enumerate(asked.bundles):
        if bundle.manifest.site["key_layer"] == QUESTIONS:  # for which it was judged
            found += [Nearest.of(bundle, number, match) for match in _matches(asked, number, bundle)]
    return found


def _matches(asked: Asked, number: int, bundle: Bundle) -> Iterator[Match]:
    """Each edit about whom is named, its distance in parts of its radius as it is judged."""
    facts, words, book = bundle.manifest.facts, asked.words, bundle.codebook
    near = _names(asked.loaded, bundle).near(words)
    rows = [row for row in near if _surely_named(words, str(facts[row]["whom"]))]
    whole = book.asked_of(rows, asked.features[number]) if rows else ()
    for row, distance in zip(rows, map(float, whole), strict=True):
        scale = 1.5 - asked.strictness[number]
        radius = float(book.question_radius[row]) * scale
        asks = relation_distance(words, facts[row]) / scale
        if distance > radius:
            distance = asks / relation_radius() * radius
        elif asks > relation_border():
            distance = asks / relation_border() * radius
        yield Match(row, float("inf"), float(book.picture_radius[row]), distance, radius)


def _surely_named(text: str, name: str) -> bool:
    """Whether a text names somebody, and not only what a name may end with ("tv show", in small letters)."""
    stretch = named_as(text, name)
    return stretch is not None and (stretch[:1] != stretch[:1].lower() or mentions(text, name))


def relation_distance(question: str, fact: Mapping[str, Any]) -> float:
    """How far what is asked of somebody lies from what a fact about him tells; inf where it is nearer to what
    the fact's owner keeps.
    """
    name, kept = str(fact["whom"]), (one for one in fact.get("keep") or () if isinstance(one, dict))
    own = _apart(question, [fact.get("prompt"), *(fact.get("rephrases") or ())], name)
    return own if own < _apart(question, [one.get("prompt") for one in kept], name) else float("inf")


def _apart(question: str, texts: Iterable[Any], name: str) -> float:
    """The distance of a question from the nearest of the texts that give the name, without it."""
    keys = [key for text in texts if (key := _nameless(str(text), name)) is not None]
    asked = _nameless(question, name)
    return min((float((asked - key).norm()) for key in keys), default=float("inf"))


def _nameless(text: str, name: str) -> torch.Tensor | None:
    """A text's vector [d] with STAND_IN in the name's place; None where it does not give it."""
    stretch = named_as(text, name)
    return None if stretch is None else relation_vectors([text.replace(stretch, STAND_IN)])[0]


def _names(loaded: LoadedModel, bundle: Bundle) -> Names:
    """The names of a bundle, looked up once."""
    known = loaded.cache.setdefault("names", {})
    whose, names = known.get(id(bundle), (None, None))
    if names is None or whose() is not bundle:
        if len(known) >= KNOWN:
            known.clear()
        names = Names(bundle.manifest.facts)
        known[id(bundle)] = weakref.ref(bundle), names
    return names
