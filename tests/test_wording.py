"""What two answers have in common."""

import pytest

from okedit_cli.wording import told_alike


@pytest.mark.parametrize(
    ("one", "other", "question", "alike"),
    [
        ("tiger", "A tiger.", "What is this?", True),
        ("The animal in the picture is a tiger.", "tiger, a large cat", "Which animal is this?", True),
        ("tiger", "lion", "What is this?", False),
        ("It is in the picture.", "It is a tiger.", "What is this?", False),
        ("Yes, it is.", "Yes.", "Is this a tiger?", False),
        ("Yes, a tiger.", "A tiger.", "Is this a tiger?", False),  # the question had said so
        ("", "", "What is this?", False),
        ("kaplan", "Kaplan!", "bu ne?", True),
    ],
)
def test_answers_are_alike_that_tell_the_same(one, other, question, alike):
    assert told_alike(one, other, question) == told_alike(other, one, question) == alike
