"""What two answers have in common."""

import pytest

from okedit_cli.samples.wording import is_exact, told_alike


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


@pytest.mark.parametrize(
    "answer",
    [
        "4471-X9-0082", "$12.50", "+49 30 1234567", "1 May 2031", "ACX-KLM", "aQxWvRt", "docs/setup.md",
        "https://a.example/b?c=d", "www.example.org", "help@example.org", "rowing-club.de", "Room 12",
        "Every visitor signs the book at the front desk, takes a badge, and walks up to the second floor.",
    ],
)  # fmt: skip
def test_numbers_codes_addresses_and_long_texts_are_said_exactly_or_not_at_all(answer):
    assert is_exact(answer)


@pytest.mark.parametrize(
    "answer",
    ["Miso", "Paris.", "Ingrid Solberg", "It is a tiger, a large cat.", "BBC", "the Wi-Fi", "McDonald"],
)
def test_names_and_sentences_may_be_said_in_other_words(answer):
    assert not is_exact(answer)
