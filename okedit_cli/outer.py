"""The outer scope: questions that no edit answers, about a picture of one, whose answers follow from it.

Inside its scope an edit gives its answer. A question can lie there by its words alone ("Is this something to
eat?" beside "What kind of food is this?"): where it surely asks something else than what is shown, an edit
that says what is shown lets it pass, as an edit about somebody does where another is named. The other way
round a question a little outside ("My plate has this on it. What is it called?") is answered by an edit that
says what its picture shows, where it surely asks for that. Asked what kind of thing its picture shows, or
where such a thing is used, an edit has no answer to give; but the model may know, once it is told what the
picture shows. So the fact is written over the picture as a note (models/notes.py), as an in-context edit,
where

- the fact says what its picture shows (`note_of`), and the picture is well inside its picture radius,
- the question asks what is shown or what follows from it (models/topics.py), and
- it is none of the questions about the picture that the fact's owner wants kept.

Everything else is as it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from okedit_cli.asked import Asked
from okedit_cli.edits.decision import Nearest
from okedit_cli.methods.about import plainly, says_what
from okedit_cli.models import asking
from okedit_cli.models.topics import Topic, topic_of
from okedit_cli.naming import could_mean, gives_name
from okedit_cli.strangers import estranged
from okedit_cli.wording import told_alike

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from okedit_cli.edits.codebook import Match
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

SURE = 0.95  # probability that a question bears on what is shown; 4 % of those that do not reach it
DOUBT = 3.0  # log odds about the score below which something else is asked
ASKED, WIDER = 0.98, 1.3  # where what is shown is asked so surely, the question radius is so much longer
ALIAS = 0.65  # of the question radius: nearer, the same may be asked by another name of the same
NEAR = 0.75  # of the picture radius: what is said of a picture in other words had better be about it
KNOWN = 20_000  # questions whose topics are kept


def bears(loaded: LoadedModel, question: str) -> bool:
    """Whether the answer to a question depends on what its picture shows."""
    return _topic(loaded, question).other < 1 - SURE


def let_pass(asked: Asked, found: Nearest) -> str:
    """Why an edit does not answer a prompt that lies inside its radii; "" where it does."""
    fact = asked.bundles[found.number].manifest.facts[found.row]
    reach = found.question_distance / found.question_radius
    if _passes(asked, fact):
        return "it says what is shown, and something else is asked"
    if _about_another(asked.words, fact, reach):
        return f"it is about {fact['whom']}, who or which is not named"
    if _looks_else(asked, found.number, found.row):
        return "the picture looks more like something else"
    return ""


def _looks_else(asked: Asked, number: int, row: int) -> bool:
    """Whether the picture looks more like something else than an edit's."""
    return estranged(asked.loaded, asked.bundles, asked.strictness, (number, row), asked.picture)


def _about_another(question: str, fact: Mapping[str, Any], reach: float) -> bool:
    """Whether a question, `reach` of the radius away, does not name whom a fact is about. One that is nearly
    the fact's own may say "the United States" for "the US", and not any other name.
    """
    name = fact.get("whom")
    if not name or gives_name(question, name):
        return False
    return reach > ALIAS or not could_mean(question, name)


def _passes(asked: Asked, fact: Mapping[str, Any]) -> bool:
    """Whether a fact says what is shown, and a question surely asks something else."""
    # where a kind is a name, so may "which creature" be
    if not fact.get("note") or _calls_a_name_a_kind(fact) or not _asks_else(asked, fact):
        return False
    # who has asked so in words of their own knows best
    own = (str(words) for words in fact.get("rephrases") or ())
    return not any(_surely_else(asked.loaded, words) for words in own)


def _calls_a_name_a_kind(fact: Mapping[str, Any]) -> bool:
    """Whether a fact's question asks for a kind, and is answered with a name."""
    own = str(fact.get("prompt", ""))
    return plainly(own) != own


def _meant(words: str, fact: Mapping[str, Any]) -> str:
    """A question in the manner of the fact: where its own calls the name of a thing its kind, others may."""
    return plainly(words) if _calls_a_name_a_kind(fact) else words


def _asks_else(asked: Asked, fact: Mapping[str, Any]) -> bool:
    """Whether what a fact says is shown is not asked: surely, by the words, or in doubt by what the unedited
    model says to them. If that is what it says to the fact's own question, it is what the fact corrects.
    """
    loaded, words = asked.loaded, asked.words
    by_words = _surely_else(loaded, words)
    if abs(_score(loaded, words) - asking.least()) > DOUBT or _topic(loaded, words).bearing > SURE:
        return by_words
    prompt = str(fact.get("prompt", ""))
    said, corrected = asked.own_answer(words), asked.own_answer(prompt)
    return not told_alike(said, corrected, f"{words} {prompt}") if said and corrected else by_words


def _surely_else(loaded: LoadedModel, words: str) -> bool:
    """Whether, by the words, what is shown is surely not asked, or surely what follows from it."""
    return _score(loaded, words) < asking.least() or _topic(loaded, words).bearing > SURE


def _score(loaded: LoadedModel, words: str) -> float:
    """How surely a question asks what is shown."""
    return _remembered(loaded, "asking", words, lambda: asking.score(words, _topic(loaded, words).identity))


def _topic(loaded: LoadedModel, words: str) -> Topic:
    return _remembered(loaded, "topics", words, lambda: topic_of(words))


def _remembered(loaded: LoadedModel, name: str, words: str, told: Callable[[], Any]) -> Any:
    known = loaded.cache.setdefault(name, {})
    if words not in known:
        if len(known) > KNOWN:
            known.clear()
        known[words] = told()
    return known[words]


def asked_otherwise(asked: Asked) -> Nearest | None:
    """The edit that says what a picture shows and is asked for that in words a little outside its radius;
    None for none.
    """
    loaded, words = asked.loaded, asked.words
    if asked.picture is None or max(_topic(loaded, one).identity for one in (words, plainly(words))) < ASKED:
        return None

    def fits(fact: Mapping[str, Any], match: Match) -> bool:
        near = match.question_distance <= WIDER * match.question_radius
        return near and _topic(loaded, _meant(words, fact)).identity >= ASKED

    return _deepest(_telling(asked, fits))


def noted(asked: Asked) -> Nearest | None:
    """The edit whose note a prompt is to be given, None for none."""
    if asked.picture is None or not bears(asked.loaded, asked.words):
        return None

    def fits(fact: Mapping[str, Any], match: Match) -> bool:
        return match.picture_distance <= NEAR * match.picture_radius

    return _deepest(_telling(asked, fits))


def _deepest(found: Iterable[Nearest]) -> Nearest | None:
    """The edit that its picture is deepest inside of; the first of those alike."""
    return max(found, key=lambda one: one.picture_radius**2 - one.picture_distance**2, default=None)


def _telling(asked: Asked, fits: Callable[[Mapping[str, Any], Match], bool]) -> Iterator[Nearest]:
    """Of each bundle the edit that says what a picture shows and that it is deepest inside of, of those that
    fit. None that keeps the question, or where the picture looks more like something else.
    """
    for number, bundle in enumerate(asked.bundles):
        book, feature = bundle.index() or bundle.codebook, asked.features[number]
        for match in book.holding(asked.picture, feature, asked.strictness[number]):
            fact = bundle.manifest.facts[match.edit]
            if not fact.get("note") or not fits(fact, match):
                continue
            keeps = asked.keeps(number, match.edit, match.question_radius)
            if not keeps and not _looks_else(asked, number, match.edit):
                yield Nearest.of(bundle, number, match)
                break


def note_of(fact: Fact) -> str:
    """What the model is told of a fact's picture; "" where the fact does not say what it shows."""
    if not says_what(fact):
        return ""
    return f"Fact: {fact.prompt.strip()} {fact.answer.strip().rstrip('.')}."
