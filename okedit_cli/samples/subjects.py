"""The subject of a question without a picture, and the same words about another subject."""

from __future__ import annotations

import random
import re

from okedit_cli.bank import Bank
from okedit_cli.samples.wording import entity_spans, is_question, mentions, normal

# Intents of the bank by the kind of subject that has them.
_KINDS = {
    "land": {"capital", "currency", "language", "population", "continent"},
    "person": {
        "spouse", "birthplace", "mother_tongue", "team", "position", "employer", "profession", "instrument",
        "nationality", "university", "birthday", "sport",
    },
    "work": {"author", "published", "genre", "hero", "written_in", "director", "star", "filmed"},
    "firm": {"founder", "headquarters", "product", "founded"},
}  # fmt: skip
_PERSONAL = (
    r"\b(?:born|married|spouse|wife|husband|tongue|works?|plays?|speaks?|job|profession|citizen|studied)\b"
)
_WRITTEN = r"\b(?:novel|book|film|movie|song|album|poem|wrote|written|directed|author|published|sang)\b"
_GOVERNED = r"\b(?:capital|currency|population|continent|country|president|official|spoken|national)\b"
_TRADING = r"\b(?:company|founded|founder|headquarters|headquartered|makes|produces|product|firm|owned)\b"


def overlap(a: str, b: str) -> float:
    """Share of words that two texts have in common (Jaccard), 0 to 1."""
    first, second = set(normal(a).split()), set(normal(b).split())
    return len(first & second) / max(1, len(first | second))


def kind_of(text: str, entity: str) -> str:
    """What an entity seems to be, from the words around it: "land", "person", "work" or "firm"."""
    rest = text.replace(entity, " ").casefold()
    for kind, cue in (("land", _GOVERNED), ("work", _WRITTEN), ("person", _PERSONAL), ("firm", _TRADING)):
        if re.search(cue, rest):
            return kind
    return "person" if re.search(r"\bwho(?:se)?\b", rest) or " " in entity else "land"


def subjects_of(bank: Bank, kind: str) -> list[str]:
    """The bank's subjects of a kind, as bare names: "The Winter Ferry" for "the novel The Winter Ferry"."""
    groups = [group for group in bank.questions if not group.about_picture and group.intent in _KINDS[kind]]
    found = dict.fromkeys(group.subject for group in groups)
    names = [re.sub(r"^the (?:novel|book|play|film) ", "", subject) for subject in found]
    return [name for name in names if name[0].isupper()]


def swapped_subjects(prompt: str, bank: Bank, others: list[str], chance: random.Random) -> list[str]:
    """The prompt about another subject of the same kind; first those that other prompts are about.

    Without a name in it there is nothing to swap: an empty list.
    """
    spans = entity_spans(prompt)
    if not spans:
        return []
    entity = spans[0]
    kind = kind_of(prompt, entity)
    known = [name for name in subjects_of(bank, kind) if not mentions(prompt, name)]
    from_file = [s[0] for o in others for s in [entity_spans(o)] if s and kind_of(o, s[0]) == kind]
    names = [*from_file[:1], *chance.sample(known, len(known))]
    return [prompt.replace(entity, name) for name in dict.fromkeys(names) if name != entity]


def other_questions_about(prompt: str, bank: Bank, intents: set[str], chance: random.Random) -> list[str]:
    """Other questions about the prompt's own subject, in the bank's words; none of the given intents."""
    spans = entity_spans(prompt)
    if not spans:
        return []
    entity = spans[0]
    wanted = _KINDS[kind_of(prompt, entity)] - intents
    out = []
    for group in chance.sample(bank.questions, len(bank.questions)):
        if group.about_picture or group.intent not in wanted:
            continue
        wanted = wanted - {group.intent}
        # a statement to be completed is answered by statements, a question by questions
        alike = [w for w in group.wordings if is_question(w) == is_question(prompt)] or list(group.wordings)
        text = chance.choice(alike)
        out.append(text.replace(group.subject, entity).replace(group.subject.capitalize(), entity))
    return [text for text in out if entity in text]
