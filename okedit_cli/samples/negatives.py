"""Near negatives of a fact, from the bank and the other facts of the file.

Far ones say nothing about where an edit should end. So: the edit's picture with other questions about the
same thing, other pictures of the same kind with the edit's question, the same words about another subject.
What may mean the same as the edit is never a negative.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from okedit_cli import bank as banks
from okedit_cli.bank import PICTURE, Bank, BankPicture, QuestionGroup
from okedit_cli.facts import Fact
from okedit_cli.samples.subjects import other_questions_about, overlap, swapped_subjects
from okedit_cli.samples.templates import rephrase
from okedit_cli.samples.wording import close_intents, intent_of, mentions, normal, subject_noun

Nearest = Callable[[Image.Image], Sequence[int]]

EDIT_PICTURE, OTHER_PICTURES, FILE_PICTURES, FILE_QUESTIONS, BOTH_OTHER = 6, 6, 3, 3, 2
SWAPPED, SAME_SUBJECT, BANK_QUESTIONS = 5, 3, 4
_SAMPLED = 40  # other facts looked at, so that a file of thousands stays quick
# Intents that one can ask of anything a picture shows, with a noun of the bank that has each.
_ANY_NOUN = {
    "colour": "car", "owner": "dog", "age": "car", "kind": "dog", "size": "plane", "price": "toy",
    "name": "dog",
}  # fmt: skip
_Read = Callable[[Path | None], Image.Image | None]


class Asked(NamedTuple):
    """A question with its picture, and where it stands in the grid."""

    prompt: str
    picture: Image.Image | None
    cell: str
    origin: str


class Surroundings:
    """What all facts share: the bank, the other facts, their pictures."""

    def __init__(self, facts: Sequence[Fact], read: _Read, nearest: Nearest | None) -> None:
        self.bank: Bank = banks.load_bank()
        self.facts = facts
        self.read = read
        self.nearest = nearest
        self._contents: dict[Path, bytes] = {}
        self._scopes: dict[str, Scope] = {}
        self.by_picture: dict[bytes, list[Fact]] = {}
        for fact in facts:
            if fact.image is not None:
                self.by_picture.setdefault(self.content(fact.image), []).append(fact)

    def content(self, path: Path) -> bytes:
        """What a picture shows, whatever its path: equal for copies of a file."""
        if path not in self._contents:
            picture = self.read(path)
            self._contents[path] = repr(picture.size).encode() + picture.resize((16, 16)).tobytes()
        return self._contents[path]

    def scope(self, fact: Fact) -> Scope:
        """The fact's scope, worked out once."""
        if fact.id not in self._scopes:
            self._scopes[fact.id] = Scope(fact, self.bank)
        return self._scopes[fact.id]


class Scope:
    """What may mean the same as a fact: its wordings, and what they ask for."""

    def __init__(self, fact: Fact, bank: Bank) -> None:
        self.fact = fact
        own = [fact.prompt, *fact.rephrases]
        found = [group for group in map(bank.group_of, own) if group]
        reserved = [question.prompt for question in (*fact.holdout, *fact.related)]
        self.wordings = {normal(text) for text in (*own, *reserved, *rephrase(fact.prompt, 40))}
        self.wordings = self.wordings.union(*(group.plain for group in found))
        self.nouns = set(filter(None, (subject_noun(text) for text in own)))
        self.intents = self._intents([*filter(None, map(intent_of, own)), *(group.intent for group in found)])

    def _intents(self, asked: list[str]) -> set[str]:
        """A named thing's own name is not what the picture shows; the name of "this" is."""
        return set().union(*({"name"} if i == "name" and self.nouns else close_intents(i) for i in asked))

    def means_the_same(self, text: str, *, about_picture: bool = True) -> bool:
        """Whether a question, asked of the fact's own picture or subject, may ask what the fact asks."""
        if normal(text) in self.wordings:
            return True
        return about_picture and intent_of(text) in self.intents

    def excludes(self, group: QuestionGroup) -> bool:
        """The same for a group of the bank: it states its intent."""
        if not group.plain.isdisjoint(self.wordings):
            return True
        if group.about_picture:
            return self.fact.image is not None and group.intent in self.intents
        return group.intent in self.intents and mentions(self.fact.prompt, group.subject)


def negatives_of(fact: Fact, around: Surroundings, chance: random.Random) -> list[Asked]:
    """The grid around a fact, near cells first; no two with the same picture and wording."""
    scope = around.scope(fact)
    if fact.image is None:
        return list(_around_text(fact, scope, around, chance))
    return list(_around_picture(fact, scope, around, chance))


def _around_picture(fact: Fact, scope: Scope, around: Surroundings, chance: random.Random) -> Iterator[Asked]:
    picture = around.read(fact.image)
    same = [other for other in around.by_picture[around.content(fact.image)] if other.id != fact.id]
    for other in same[:FILE_QUESTIONS]:
        if not scope.means_the_same(other.prompt, about_picture=False):
            yield Asked(other.prompt, picture, "edit/other", "file")
    claimed = [around.scope(other) for other in same[:_SAMPLED]]
    questions = _questions_about(scope, around.bank, chance)
    free = (text for text in questions if not any(s.means_the_same(text) for s in claimed))
    asked = list(islice(free, EDIT_PICTURE + 2))
    for text in asked[:EDIT_PICTURE]:
        yield Asked(text, picture, "edit/other", "bank")
    strangers = _other_pictures(fact, scope, around, chance)
    wordings = [fact.prompt, fact.prompt, fact.prompt, *(fact.rephrases[:1] or rephrase(fact.prompt, 1))]
    for i, stranger in enumerate(strangers[:OTHER_PICTURES]):
        text = wordings[i % len(wordings)]
        yield Asked(text, stranger.image, f"other/{'edit' if text == fact.prompt else 'rephrase'}", "bank")
    for other in _other_facts(fact, scope, around, chance)[:FILE_PICTURES]:
        yield Asked(fact.prompt, around.read(other.image), "other/edit", "file")
    for text, stranger in zip(asked[-BOTH_OTHER:], reversed(strangers), strict=False):
        yield Asked(text, stranger.image, "other/other", "bank")
    yield Asked(fact.prompt, None, "none/edit", "bank")


def _questions_about(scope: Scope, bank: Bank, chance: random.Random) -> Iterator[str]:
    """Other questions to the fact's own picture: on the same thing, what it shows, its colour, anything."""
    allowed = [group for group in bank.questions if not scope.excludes(group)]
    general = {group.intent: group for group in allowed if group.subject == PICTURE}
    near = [group for group in allowed if group.noun in scope.nouns]
    chance.shuffle(near)
    texts = [chance.choice(group.wordings) for group in near[:3]]
    for noun in sorted(scope.nouns):
        texts += _with_noun(noun, bank, scope, chance)[: 3 - len(texts)]
    yield from texts
    for intent in ("what", "colour"):
        if intent in general:
            yield chance.choice(general.pop(intent).wordings)
    world = [group for group in allowed if not group.about_picture]
    if world:
        yield chance.choice(chance.choice(world).wordings)
    rest = list(general.values())
    chance.shuffle(rest)
    for group in rest:
        yield chance.choice(group.wordings)


def _with_noun(noun: str, bank: Bank, scope: Scope, chance: random.Random) -> list[str]:
    """What one can ask of anything, asked of a noun that the bank may lack: "What colour is this parrot?"."""
    groups = [g for g in bank.questions if g.noun and _ANY_NOUN.get(g.intent) == g.noun]
    out = []
    for group in chance.sample(groups, len(groups)):
        text = re.sub(rf"\b{group.noun}\b", noun, chance.choice(group.wordings))
        if group.intent not in scope.intents and not scope.means_the_same(text):
            out.append(text)
    return out


def _other_pictures(
    fact: Fact, scope: Scope, around: Surroundings, chance: random.Random
) -> list[BankPicture]:
    """The bank's pictures: near ones (by the caller's space, else by the question's words), then varied."""
    pictures = list(around.bank.pictures)
    if fact.images:
        # where other pictures of the thing are in scope, the bank's picture of it may be one more
        pictures = [p for p in pictures if not any(mentions(fact.prompt, w) for w in (p.name, f"{p.name}'s"))]
    if around.nearest is not None:
        rank = {index: place for place, index in enumerate(around.nearest(around.read(fact.image)))}
        order = {id(p): rank.get(i, len(rank)) for i, p in enumerate(around.bank.pictures)}
        near = sorted(pictures, key=lambda p: order[id(p)])
        return _varied(near[: OTHER_PICTURES - 2], near, chance)
    words = {*scope.nouns, *normal(f"{fact.prompt} {fact.answer}").split()}
    groups = {p.group for p in around.bank.pictures if {p.group, *p.name.lower().split()} & words}
    near = [p for p in pictures if p.group in groups]
    chance.shuffle(near)
    return _varied(near[: OTHER_PICTURES - 2], pictures, chance)


def _varied(
    first: list[BankPicture], pictures: list[BankPicture], chance: random.Random
) -> list[BankPicture]:
    """`first`, then pictures of other groups, one a group."""
    groups, out = {p.group for p in first}, list(first)
    for picture in chance.sample(pictures, len(pictures)):
        if picture.group not in groups:
            groups.add(picture.group)
            out.append(picture)
    return out


def _other_facts(fact: Fact, scope: Scope, around: Surroundings, chance: random.Random) -> list[Fact]:
    """Facts on other pictures, those that ask nearly the same first; never copies or views of this one."""
    own = {around.content(path) for path in (fact.image, *fact.images)}
    own |= {around.content(question.image) for question in fact.holdout if question.image is not None}
    others = [other for other in around.facts if other.image is not None and other.id != fact.id]
    others = chance.sample(others, min(len(others), _SAMPLED))
    others = [other for other in others if around.content(other.image) not in own]
    return sorted(others, key=lambda other: -overlap(other.prompt, fact.prompt))


def _around_text(fact: Fact, scope: Scope, around: Surroundings, chance: random.Random) -> Iterator[Asked]:
    """For a fact without a picture: its words on other subjects, its subject asked other things, the rest."""
    others = [other for other in around.facts if other.image is None and other.id != fact.id]
    others = chance.sample(others, min(len(others), _SAMPLED))
    others.sort(key=lambda other: -overlap(other.prompt, fact.prompt))
    swapped = swapped_subjects(fact.prompt, around.bank, [other.prompt for other in others], chance)
    texts = [*swapped[:SWAPPED]]
    about = other_questions_about(fact.prompt, around.bank, scope.intents, chance)
    texts += [text for text in about if not scope.means_the_same(text)][:SAME_SUBJECT]
    allowed = [g for g in around.bank.questions if not g.about_picture and not scope.excludes(g)]
    chance.shuffle(allowed)
    allowed.sort(key=lambda group: -overlap(group.wordings[0], fact.prompt))
    near, far = allowed[: BANK_QUESTIONS // 2], allowed[len(allowed) // 2 :]
    chosen = [*near, *chance.sample(far, BANK_QUESTIONS - len(near))]
    texts += [chance.choice(group.wordings) for group in chosen]
    for text in texts:
        if not scope.means_the_same(text, about_picture=False):
            yield Asked(text, None, "none/other", "bank")
    for other in others[:FILE_QUESTIONS]:
        if not scope.means_the_same(other.prompt, about_picture=False):
            yield Asked(other.prompt, None, "none/other", "file")
    general = [group for group in around.bank.questions if group.subject == PICTURE]
    for stranger in chance.sample(list(around.bank.pictures), BOTH_OTHER):
        yield Asked(chance.choice(chance.choice(general).wordings), stranger.image, "other/other", "bank")
