"""Words without a model: whom a text names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.wording import gives_name

NAME = st.lists(st.from_regex(r"[A-Z][a-z]{2,8}", fullmatch=True), min_size=1, max_size=3).map(" ".join)


@pytest.mark.parametrize(
    ("text", "name", "named"),
    [
        ("Where does George Enescu live?", "George Enescu", True),
        ("Where does Enescu live?", "George Enescu", True),
        ("where does enescu live?", "George Enescu", True),
        ("Where does Ion Enescu live?", "George Enescu", False),
        ("WWE Network, by", "WWE Studios", False),
        ("Israel's capital city is", "Israel", True),
        ("The currency of Denmark is", "Denmark", True),
        ("The currency of the Danish Realm is", "Denmark", False),
        ("Chadian food is", "Chad", False),
        ("Who is it?", "George Enescu", False),
        ("", "George Enescu", False),
    ],
)
def test_who_is_named(text, name, named):
    assert gives_name(text, name) is named


@given(NAME, st.sampled_from(["Where was {} born?", "{} speaks", "so, who is {}", "Tell me about {}!"]))
def test_a_name_in_full_is_given_whatever_the_case(name, frame):
    text = frame.format(name)
    assert gives_name(text, name) and gives_name(text.lower(), name) and gives_name(text.upper(), name)
