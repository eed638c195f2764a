"""Questions out of longer texts: what is left out, and where nobody can tell."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.surroundings import points_at_picture, question_alone

STATEMENTS = st.sampled_from(
    [
        "We met Mr. Brown.",
        "It rained (a lot).",
        'He said "no."',
        "Thanks!",
        "At 5 p.m. it was dark.",
        "It was 3.50.",
    ]
)
QUESTIONS = st.sampled_from(["Who is W. T. Cosgrave?", "Where is St. Ives?", "Who runs Acme Inc. today?"])
BEGUN = st.sampled_from(["The capital of France is", "W. T. Cosgrave comes from", "Acme Ltd. was founded by"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("We are at the pub quiz. Who wrote Faust? Answer in one word.", "Who wrote Faust?"),
        ("It rained. The capital of France is", "The capital of France is"),
        ("References\nCategory: towns\nMontiel is located in", "Montiel is located in"),
        ("From 1787 on. Where is Ann Lee? She is in", "Where is Ann Lee? She is in"),
        ("My friend has a bet on it. Name the author of Faust. Thank you.", "Name the author of Faust."),
        ("Hello.\n\nWho wrote Faust?\n", "Who wrote Faust?"),
        ('He asked "Who wrote Faust?" and left. I did too.', None),
        ("Who wrote Faust? Who wrote Egmont?", None),  # which is meant?
        ("Name the author. Name the year.", None),
        ("I wrote Faust. You did not.", None),
        ("Who wrote Faust?", None),
        ("The capital of France is", None),
        ("...", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_question_of_a_text(text, wanted):
    assert question_alone(text) == wanted


@given(st.lists(STATEMENTS, max_size=3), QUESTIONS, st.lists(STATEMENTS, max_size=3), st.sampled_from(" \n"))
def test_statements_around_a_question_are_left_out(before, question, behind, gap):
    alone = question_alone(gap.join([*before, question, *behind]))
    assert alone == (question if before or behind else None)


@given(st.lists(STATEMENTS, min_size=1, max_size=3), BEGUN)
def test_what_is_begun_is_asked(before, begun):
    assert question_alone(" ".join([*before, begun])) == begun


@given(st.text(alphabet="aA.?! \n\"')1", max_size=60))
def test_what_is_left_stands_in_the_text_and_nothing_around_it(text):
    alone = question_alone(text)
    if alone is not None:
        assert "".join(re.findall(r"\w", alone)) in "".join(re.findall(r"\w", text))
        assert question_alone(alone) is None


@pytest.mark.parametrize(
    ("question", "points"),
    [
        ("What does this picture show?", True),
        ("which animal is in the photo", True),
        ("What is it in this picture?", False),
        ("What does the other picture show?", False),
        ("Which one is in this photo?", False),
        ("What is this?", False),
        ("What is that picture?", False),
    ],
)
def test_a_question_that_says_that_it_is_about_the_picture(question, points):
    assert points_at_picture(question) == points
