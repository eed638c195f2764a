"""When a fitted fact counts as said."""

from __future__ import annotations

import pytest
from fitted import load

from okedit_cli.checking import is_right, limit_for
from okedit_cli.facts import Fact
from okedit_cli.models.encode import answer_ids


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Miso", True),
        (" miso. ", True),
        ("Miso the cat", True),
        ("Miso the", False),
        ("", False),
        ("cat", False),
    ],
)
def test_any_of_a_facts_accepted_answers_is_right(text, right):
    assert is_right(text, Fact("cat", "Who?", "Miso", accepted=("Miso the Cat",))) is right
    assert not is_right("Miso the cat", Fact("cat", "Who?", "Miso"))


def test_the_longest_of_the_right_answers_can_be_told():
    loaded, long = load("gpt2"), "one two three " * 30
    assert limit_for(loaded, ("Miso", long)) > len(answer_ids(loaded, long))
    assert limit_for(loaded, ("Miso", "")) == limit_for(loaded, ()) >= len(answer_ids(loaded, "Miso"))
