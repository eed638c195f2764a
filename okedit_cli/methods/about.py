"""What a fact is about: a kind of thing or one individual, what its picture shows or something else, whom."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from okedit_cli.models.topics import topic_of
from okedit_cli.naming import gives_name
from okedit_cli.transforms import plain_border
from okedit_cli.wording import entity_spans

if TYPE_CHECKING:
    from okedit_cli.facts import Fact

SAYS_WHAT = 0.92  # probability that a fact's own question asks what is shown, and not whose mascot it is
# what is asked of one individual, whatever its kind; a flag is nobody's own
_INDIVIDUAL = r"""
    \b(?:who|whom|whose(?!.*flag)|owners?|owns?|owned|how\sold|age|price|costs?|how\smuch|my|our|when|year
    |author|artist|painted|made\sby|maker|built|bought)\b | 's\sname\b"""
_KIND_OF = r"\b(?:kind|sort|type)s? of (?:an? )?(?!(?:thing|object|item|stuff)s?\b)"


def says_what(fact: Fact) -> bool:
    """Whether a fact says what its picture shows, and not whose it is or how old."""
    if fact.image is None or asks_of_one(fact.prompt):
        return False
    return topic_of(plainly(fact.prompt)).identity >= SAYS_WHAT


def plainly(question: str) -> str:
    """A question for a kind as one for the thing itself, where its answer is a name: "a pizza" answers "What
    kind of food is this?", and "food" answers "What kind of thing is this?".
    """
    return re.sub(_KIND_OF, "", question, flags=re.IGNORECASE)


def shows_one(prompt: str, picture, more: bool = False) -> bool:
    """Whether a fact is about one individual, not about all that its picture may stand for: a photograph
    shows this dog, a drawing on a plain ground dogs, unless the question is whose or how old it is and there
    are no `more` drawings of the thing that the user wants to be answered alike.
    """
    return plain_border(picture) is None or (asks_of_one(prompt) and not more)


def asks_of_one(prompt: str) -> bool:
    """Whether a question is about an individual whatever its kind: whose it is, how old, what its name is."""
    return re.search(_INDIVIDUAL, prompt, re.IGNORECASE | re.VERBOSE) is not None


def whom(fact: Fact) -> str:
    """The longest name in a prompt without a picture, if its owner's other wordings give it too; or ""."""
    if fact.image is not None:
        return ""
    name = next(iter(entity_spans(fact.prompt)), "")
    return name if all(gives_name(text, name) for text in fact.rephrases) else ""
