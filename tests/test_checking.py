"""When a fitted fact counts as said."""

from __future__ import annotations

import pytest

from okedit_cli.checking import is_right
from okedit_cli.facts import Fact


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
