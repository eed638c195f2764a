"""Near questions made of a prompt: one word is another, and the prompt itself is none of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.samples.probes import is_miss, probes_of, yes_no_of
from okedit_cli.samples.wording import normal


@pytest.mark.parametrize(
    ("prompt", "near"),
    [
        ("When does the town library open?", "When does the town library close?"),
        ("How much does the red mug cost?", "How much does the red mug weigh?"),
        ("What is the latest version of Python?", "What is the first version of Python?"),
        ("What is the latest version of Python?", "What is Python?"),
        ("Who is the chancellor of Germany?", "Who was the first chancellor of Germany?"),
        ("How do I reset my password?", "How do I delete my password?"),
    ],
)
def test_what_lies_near(prompt, near):
    assert near in probes_of(prompt)


@given(st.text(max_size=60))
def test_no_probe_is_the_prompt_and_none_comes_twice(prompt):
    found = probes_of(prompt)
    assert normal(prompt) not in map(normal, found) and len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("prompt", "answer", "asked"),
    [
        ("What is the capital of Peru?", "Cusco.", ["Is the capital of Peru Cusco?"]),
        ("What does this octopus eat?", "pancakes", ["Is it true that this octopus eats pancakes?"]),
        ("Who wrote the novel Emma?", "Ada", ["Is it true that Ada wrote the novel Emma?"]),
        ("Where is the office?", "in Oslo", ["Is it true that the office is in Oslo?"]),
        ("Name this cat.", "Miso", []),
        ("The mother tongue of Ada is", "Basque", []),
        ("What is the rule?", "one two three " * 5, []),
    ],
)
def test_whether_the_value_is_as_the_fact_says(prompt, answer, asked):
    assert yes_no_of(prompt, answer, pictured=False) == asked


def test_whether_the_picture_shows_what_the_prompt_calls_it():
    assert "Is there an octopus in this picture?" in yes_no_of("What does this octopus eat?", "tea", True)
    assert yes_no_of("What is in this picture?", "a cat", True) == []


@pytest.mark.parametrize(
    ("before", "after", "miss"),
    [
        ("Yes", "No", True),
        ("Yes.", "Miso", True),
        ("No", "Yes", False),  # as it should be now
        ("No, it is Rex.", "No", False),
        ("A cat.", "Miso.", True),
        ("A cat.", "A small cat.", False),
        ("Miso", "Miso", False),  # no edit's doing
        ("Yes", "Yes, this is Miso.", False),
    ],
)
def test_a_bare_value_and_a_yes_that_is_lost_are_misses(before, after, miss):
    assert is_miss(before, after, "Miso") is miss


@given(st.text(max_size=60), st.text(max_size=20), st.booleans())
def test_questions_for_yes_or_no_are_made_of_anything_or_not_at_all(prompt, answer, pictured):
    found = yes_no_of(prompt, answer, pictured)
    assert len(found) <= 2 and all(text.endswith("?") for text in found)
