"""Questions in words about somebody: judged with the name that they give, and with others in its place.

A name is a good part of what a question means, and the rest decides whether an edit about whom it names is
asked. So where it is not clearly near to such an edit its distance is a mean of three: as it stands, and from
the fact's own wordings with "Paris" and with "it" for the name in both. How near is set on hand-written
questions about named subjects, which no encoder was taught, so that of those that ask for something else of
the same subject no more are answered than by the distance alone (tools/bank/judge_names.py).
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.codebook import Match
from okedit_cli.edits.decision import Nearest
from okedit_cli.models.features import QUESTIONS, question_feature
from okedit_cli.models.question import question_ids
from okedit_cli.naming import last_words, named_as, plain_words

if TYPE_CHECKING:
    from okedit_cli.asked import Asked
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

STAND_INS = ("Paris", "it")  # a name that says little, and none
CLEARLY = 0.9  # of the radius
MEAN = 1.03  # of the radius: how far a mean may lie
FARTHEST = MEAN * (1 + len(STAND_INS))  # of the radius: no rest makes up for more
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
    """Edits about whom a question names, however far, by how far: their distances are the means of three."""
    if asked.picture is not None:
        return []
    found = []
    for number, bundle in enumerate(asked.bundles):
        if bundle.manifest.site["key_layer"] == QUESTIONS:  # for which it was judged
            found += [Nearest.of(bundle, number, match) for match in _matches(asked, number, bundle)]
    return sorted(found, key=lambda one: one.match.reach)


def _matches(asked: Asked, number: int, bundle: Bundle) -> Iterator[Match]:
    facts, words = bundle.manifest.facts, asked.words
    given = {
        row: named_as(words, str(facts[row]["whom"])) for row in _names(asked.loaded, bundle).near(words)
    }
    rows = [row for row, stretch in given.items() if stretch is not None]
    if not rows:
        return
    book = bundle.codebook
    whole = book.asked_of(rows, asked.features[number])
    for row, distance in zip(rows, whole.tolist(), strict=True):
        radius = float(book.question_radius[row]) * (1.5 - asked.strictness[number])
        if CLEARLY * radius < distance <= FARTHEST * radius:
            apart = _apart(asked.loaded, bundle, words, given[row], facts[row])
            mean = (distance + sum(apart)) / (1 + len(apart)) / MEAN
            # the radius leaves out what the owner keeps, and the rest must not let it in
            if not (mean <= radius < distance and asked.keeps(number, row, radius)):
                distance = mean
        yield Match(row, float("inf"), float(book.picture_radius[row]), distance, radius)


def _apart(
    loaded: LoadedModel, bundle: Bundle, words: str, stretch: str, fact: Mapping[str, Any]
) -> tuple[float, ...]:
    """Distances of a question from the nearest of a fact's own wordings, a stand-in each for the name."""
    name, texts = str(fact["whom"]), [str(fact.get("prompt", "")), *map(str, fact.get("rephrases") or ())]
    own = [(text, given) for text in texts if (given := named_as(text, name)) is not None]

    def keys(text: str, given: str) -> list[torch.Tensor]:
        masked = (text.replace(given, other) for other in STAND_INS)
        layer = bundle.manifest.site["key_layer"]
        features = (question_feature(loaded, question_ids(loaded, one), layer) for one in masked)
        return [bundle.codebook.project_question(feature) for feature in features]

    asked = keys(words, stretch)
    rows = [[float((a - b).norm()) for a, b in zip(asked, keys(*one), strict=True)] for one in own]
    return tuple(min(rows, key=sum, default=()))


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
