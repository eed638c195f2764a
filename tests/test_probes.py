"""Near questions made of a prompt: one word is another, and the prompt itself is none of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.probes import probes_of
from okedit_cli.wording import normal


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
