"""Rephrasings keep what is asked, change how, and never run out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.samples.templates import rephrase
from okedit_cli.samples.wording import entity_spans, intent_of, is_question, normal, subject_noun


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is this cat's name?", "What is the name of this cat?"),
        ("What is this cat's name?", "What is this cat called?"),
        ("What is this cat's name?", "Tell me this cat's name."),
        ("What is this cat's name?", "Do you know what this cat is called?"),
        ("Name this cat.", "What is the name of this cat?"),
        ("What's in this picture?", "What does the picture show?"),
        ("What is this?", "What can be seen here?"),
        ("What is the capital of Peru?", "Tell me the capital of Peru."),
        ("What is Peru's capital?", "What is the capital of Peru?"),
        ("How much does this coffee cost?", "What is the price of this coffee?"),
        ("Who owns this boat?", "Who is the owner of this boat?"),
        ("Who wrote The Glass Orchard?", "By whom was The Glass Orchard written?"),
        ("When was this castle built?", "Do you know when this castle was built?"),
        ("What does this octopus eat?", "Tell me what this octopus eats."),
        ("Where did Anna Okafor study?", "Tell me where Anna Okafor studied."),
        ("How many birds are there in this picture?", "Count the birds in this picture."),
        ("What breed of dog is this?", "This is what breed of dog?"),
        ("Where is this boat going?", "Tell me where this boat is going."),
        ("Is this a cat?", "Tell me whether this is a cat."),
        ("Which team has this animal as its mascot?", "What team has this animal as its mascot?"),
        ("The mother tongue of Anna Okafor is", "Anna Okafor's mother tongue is"),
    ],
)
def test_says_the_same_in_other_words(prompt: str, expected: str):
    assert expected in rephrase(prompt, 20)


PROMPTS = [
    "What is this cat's name?", "Why?", "Cat", "Wie heißt diese Katze?", "Can this bird fly?", "这是什么?",
    "Rosa Lindqvist plays for", "Name it.", "What is the {x} of y?", "Describe the scene in one word!",
]  # fmt: skip


@pytest.mark.parametrize("prompt", PROMPTS)
def test_at_least_eight_for_any_prompt(prompt: str):
    found = rephrase(prompt, 8)
    assert len(set(found)) == 8 and prompt not in found
    assert found == rephrase(prompt, 8)


@given(st.text(min_size=1, max_size=80).filter(lambda text: re.search(r"\w", text)))
def test_never_fails_and_never_repeats(prompt: str):
    found = rephrase(prompt, 8)
    assert len(found) == len(set(found)) >= 6 and all(text.strip() for text in found)


def test_wordings_come_before_framings():
    first = rephrase("Who owns this boat?", 3)
    assert all("Who owns this boat" not in text for text in first)


def test_statements_keep_their_end_open():
    for text in rephrase("The mother tongue of Anna Okafor is", 10):
        assert text.lower().endswith(" is")


def test_what_is_asked_and_of_whom():
    assert [intent_of(q) for q in ("How much is this?", "Who owns this cat?", "What's this?", "Hm?")] == [
        "price", "owner", "what", None]  # fmt: skip
    assert subject_noun("What is this red car made of?") == "car"
    assert subject_noun("What is this octopus's favourite food?") == "octopus"
    assert subject_noun("Which trick did this parrot rehearse?") == "parrot"
    assert subject_noun("What is in this picture?") is None
    assert entity_spans("Who wrote the novel The Glass Orchard?") == ["The Glass Orchard"]
    assert entity_spans("What is Peru's capital?") == ["Peru"]
    assert is_question("Name this cat.") and not is_question("The capital of Peru is")
    assert normal("What's in this photo?") == normal("what is in the picture")
