"""When a fitted fact counts as said."""

from __future__ import annotations

import pytest
from fitted import fact, fit, load, world

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


@pytest.mark.parametrize(
    ("answer", "verbatim", "text", "right"),
    [
        ("AB-12x", None, "AB-12x", True),
        ("AB-12x", None, "ab-12x", False),
        ("AB-12x", None, "AB-12x.", False),
        ("AB-12x", False, "ab-12X.", True),
        ("Miso", True, "miso", False),
        ("Miso", True, " Miso ", True),
        ("Miso.", True, "Miso", False),
    ],
)
def test_what_is_to_be_said_word_for_word_is_right_sign_by_sign(answer, verbatim, text, right):
    assert is_right(text, Fact("cat", "Who?", answer, verbatim=verbatim)) is right
    other = Fact("cat", "Who?", "Something", accepted=(answer,), verbatim=verbatim is not False)
    assert is_right(text, other) is right


def test_progress_moves_fact_by_fact():
    loaded, told = load("gpt2"), []
    facts = [fact(f"f-{number}", f"What is thing {number}?", "Miso") for number in range(3)]
    with world():
        fit(loaded, facts, progress=lambda stage, done, total: told.append((stage, done, total)))
    found = [(done, total) for stage, done, total in told if stage == "checking facts"]
    assert {one for one, _ in found} == {0, 1, 2, 3} and {total for _, total in found} == {3}
    assert found == sorted(found)


def test_the_longest_of_the_right_answers_can_be_told():
    loaded, long = load("gpt2"), "one two three " * 30
    assert limit_for(loaded, ("Miso", long)) > len(answer_ids(loaded, long))
    assert limit_for(loaded, ("Miso", "")) == limit_for(loaded, ()) >= len(answer_ids(loaded, "Miso"))
