"""What a fact about a picture is true of, by its question."""

import pytest

from okedit_cli.scope.reach import reach_of

KIND = [
    "What is this?",
    "What fruit is this?",
    "Which country has this flag?",
    "What animal is in the picture?",
    "What is in this picture?",
    "What breed is this dog?",
]
PICTURE = [
    "What is this cat's name?",
    "What is its name?",
    "Whose bicycle is this?",
    "What does this one cost?",
    "Who is in this photo?",
]


@pytest.mark.parametrize("prompt", KIND)
def test_questions_about_a_kind(prompt):
    assert reach_of(prompt) == "kind" and reach_of(prompt, "picture") == "picture"


@pytest.mark.parametrize("prompt", PICTURE)
def test_questions_about_the_one_shown(prompt):
    assert reach_of(prompt) == "picture" and reach_of(prompt, "kind") == "kind"
