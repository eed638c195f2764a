"""The facts of the bench on values are what it says they are."""

import pytest

from okedit_cli.samples.wording import is_exact
from tools.bench.values import ASKED, Told, lines, made, wordings


def test_facts_are_of_every_kind_no_two_ask_the_same_and_all_are_to_be_said_exactly():
    facts = made(200, seed=0)
    assert {fact.id.split("-")[0] for fact in facts} == set(ASKED)
    assert len({fact.prompt for fact in facts}) == len(facts)
    assert all(is_exact(fact.answer) for fact in facts) and facts == made(200, seed=0)
    for fact in facts:
        asked = wordings(fact)
        assert asked[0] == fact.prompt and len(set(asked)) == 6


@pytest.mark.parametrize(
    ("text", "exact", "repeats"),
    [
        (" 4471-X9-0022\n", True, False),
        ("4471-X9-00-00-0022222222", False, True),
        ("4471-X9-0022 4471", False, False),
    ],
)
def test_what_is_exact_and_what_repeats_itself(text, exact, repeats):
    told = Told("code", "greedy", "?", "4471-X9-0022", text, True)
    assert (told.exact, told.repeats) == (exact, repeats)
    assert any("repeated tails 1" in line for line in lines([told])) == repeats
