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

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from okedit_cli.edits.decision import Nearest
from okedit_cli.methods.about import plainly, says_what
from okedit_cli.models import asking
from okedit_cli.models.features import question_feature
from okedit_cli.models.question import question_ids
from okedit_cli.models.topics import Topic, topic_of
from okedit_cli.naming import could_mean, gives_name
from okedit_cli.strangers import estranged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import torch

    from okedit_cli.bundle import Bundle
    from okedit_cli.edits.codebook import Match
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

SURE = 0.95  # probability that a question bears on what is shown; 4 % of those that do not reach it
ASKED, WIDER = 0.98, 1.3  # where what is shown is asked so surely, the question radius is so much longer
ALIAS = 0.65  # of the question radius: nearer, the same may be asked by another name of the same
NEAR = 0.75  # of the picture radius: what is said of a picture in other words had better be about it
KNOWN = 20_000  # questions whose topics are kept


def bears(loaded: LoadedModel, question: Sequence[int]) -> bool:
    """Whether the answer to a question (ids) depends on what its picture shows."""
    return _topic(loaded, _words(loaded, question)).other < 1 - SURE


def let_pass(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    found: Nearest,
    question: Sequence[int],
    picture: torch.Tensor | None,
) -> str:
    """Why an edit does not answer a prompt that lies inside its radii; "" where it does."""
    fact, words = bundles[found.number].manifest.facts[found.row], _words(loaded, question)
    reach = found.question_distance / found.question_radius
    if _passes(loaded, words, fact):
        return "it says what is shown, and something else is asked"
    if _about_another(words, fact, reach):
        return f"it is about {fact['whom']}, who or which is not named"
    if estranged(loaded, bundles, strictness, (found.number, found.row), picture):
        return "the picture looks more like something else"
    return ""


def _about_another(question: str, fact: Mapping[str, Any], reach: float) -> bool:
    """Whether a question, `reach` of the radius away, does not name whom a fact is about. One that is nearly
    the fact's own may say "the United States" for "the US", and not any other name.
    """
    name = fact.get("whom")
    if not name or gives_name(question, name):
        return False
    return reach > ALIAS or not could_mean(question, name)


def _passes(loaded: LoadedModel, question: str, fact: Mapping[str, Any]) -> bool:
    """Whether a fact says what is shown, and a question surely asks something else."""
    if not fact.get("note") or not _asks_else(loaded, question):
        return False
    # who has asked so in words of their own knows best, and where a kind is a name, so may "which creature"
    own = [str(words) for words in fact.get("rephrases") or ()]
    return not _calls_a_name_a_kind(fact) and not any(_asks_else(loaded, words) for words in own)


def _calls_a_name_a_kind(fact: Mapping[str, Any]) -> bool:
    """Whether a fact's question asks for a kind, and is answered with a name."""
    own = str(fact.get("prompt", ""))
    return plainly(own) != own


def _meant(words: str, fact: Mapping[str, Any]) -> str:
    """A question in the manner of the fact: where its own calls the name of a thing its kind, others may."""
    return plainly(words) if _calls_a_name_a_kind(fact) else words


def _asks_else(loaded: LoadedModel, words: str) -> bool:
    """Whether what is shown is surely not asked, or surely what follows from it."""
    known = loaded.cache.setdefault("asking", {})
    if words not in known:
        if len(known) > KNOWN:
            known.clear()
        known[words] = asking.score(words) < asking.least()
    return known[words] or _topic(loaded, words).bearing > SURE


def _words(loaded: LoadedModel, question: Sequence[int]) -> str:
    return loaded.tokenizer.decode(list(question), clean_up_tokenization_spaces=False).strip()


def _topic(loaded: LoadedModel, words: str) -> Topic:
    known = loaded.cache.setdefault("topics", {})
    if words not in known:
        if len(known) > KNOWN:
            known.clear()
        known[words] = topic_of(words)
    return known[words]


def asked_otherwise(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    question: Sequence[int],
    asked: Sequence[torch.Tensor],
    picture: torch.Tensor | None,
) -> Nearest | None:
    """The edit that says what a picture shows and is asked for that in words a little outside its radius;
    None for none. `asked` is the question's feature for each bundle.
    """
    words = _words(loaded, question)
    if picture is None or max(_topic(loaded, one).identity for one in (words, plainly(words))) < ASKED:
        return None

    def fits(fact: Mapping[str, Any], match: Match) -> bool:
        near = match.question_distance <= WIDER * match.question_radius
        return near and _topic(loaded, _meant(words, fact)).identity >= ASKED

    return _deepest(_telling(loaded, bundles, strictness, asked, picture, fits))


def noted(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    question: Sequence[int],
    asked: Sequence[torch.Tensor],
    picture: torch.Tensor | None,
) -> Nearest | None:
    """The edit whose note a prompt is to be given, None for none; `asked` is the question's feature for each
    bundle.
    """
    if picture is None or not bears(loaded, question):
        return None

    def fits(fact: Mapping[str, Any], match: Match) -> bool:
        return match.picture_distance <= NEAR * match.picture_radius

    return _deepest(_telling(loaded, bundles, strictness, asked, picture, fits))


def _deepest(found: Iterable[Nearest]) -> Nearest | None:
    """The edit that its picture is deepest inside of; the first of those alike."""
    return max(found, key=lambda one: one.picture_radius**2 - one.picture_distance**2, default=None)


def _telling(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    asked: Sequence[torch.Tensor],
    picture: torch.Tensor,
    fits: Callable[[Mapping[str, Any], Match], bool],
) -> Iterator[Nearest]:
    """Of each bundle the edit that says what a picture shows and that it is deepest inside of, of those that
    fit. None that keeps the question, or where the picture looks more like something else.
    """
    for number, bundle in enumerate(bundles):
        book = bundle.index() or bundle.codebook
        for match in book.holding(picture, asked[number], strictness[number]):
            fact = bundle.manifest.facts[match.edit]
            if not fact.get("note") or not fits(fact, match):
                continue
            kept = _kept(loaded, bundle, fact, asked[number], match.question_radius)
            if not kept and not estranged(loaded, bundles, strictness, (number, match.edit), picture):
                yield Nearest.of(bundle, number, match)
                break


def _kept(
    loaded: LoadedModel, bundle: Bundle, fact: Mapping[str, Any], asked: torch.Tensor, radius: float
) -> bool:
    """Whether a question asks what the fact keeps about its own pictures, in these or other words."""
    own = [fact.get("picture_sha256"), *(fact.get("images") or ())]  # strangers may write anything in it
    book, layer = bundle.codebook, bundle.manifest.site["key_layer"]
    for kept in fact.get("keep") or ():
        if not isinstance(kept, dict) or kept.get("picture_sha256") not in own:
            continue
        ids = question_ids(loaded, str(kept.get("prompt", "")))
        apart = book.project_question(question_feature(loaded, ids, layer)) - book.project_question(asked)
        if float(apart.norm()) <= radius:
            return True
    return False


def note_of(fact: Fact) -> str:
    """What the model is told of a fact's picture; "" where the fact does not say what it shows."""
    if not says_what(fact):
        return ""
    return f"Fact: {fact.prompt.strip()} {fact.answer.strip().rstrip('.')}."
