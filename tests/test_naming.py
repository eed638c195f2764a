"""Words without a model: whom a text names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.naming import could_mean, gives_name

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
        ("Where does George live?", "George Enescu", False),
        ("The capital of Korea is", "South Korea", False),
        ("Who founded Wellington?", "Duke of Wellington", False),
        ("Who made the 747?", "Boeing 747", True),
        ("Who runs Boeing?", "Boeing 747", False),
        ("Who runs the Israel Museum?", "Israel", False),
        ("The capital of New Mexico is", "Mexico", False),
        ("Who runs Apple Inc.?", "Apple", True),
        ("Who runs the Israel Museum in Israel?", "Israel", True),
        ("What Is The Capital Of France Today", "France", True),
        ("The capital of Sao Tome is", "São Tomé", True),
    ],
)
def test_who_is_named(text, name, named):
    assert gives_name(text, name) is named


@given(NAME, st.sampled_from(["Where was {} born?", "{} speaks", "so, who is {}", "Tell me about {}!"]))
def test_a_name_in_full_is_given_whatever_the_case(name, frame):
    text = frame.format(name)
    assert gives_name(text, name) and gives_name(text.lower(), name) and gives_name(text.upper(), name)


@pytest.mark.parametrize(
    ("other", "name", "same"),
    [
        ("the UN", "United Nations", True),
        ("the United States", "US", True),
        ("USA", "United States", True),
        ("MIT", "Massachusetts Institute of Technology", True),
        ("J. S. Bach", "Johann Sebastian Bach", True),
        ("William Gates", "William H. Gates", True),
        ("Saint Petersburg", "St. Petersburg", True),
        ("Manchester United", "Manchester United Football Club", True),
        ("the Brazilians", "Brazil", True),
        ("United Airlines", "United Nations", False),
        ("North Korea", "South Korea", False),
        ("Ion Enescu", "George Enescu", False),
        ("George Frideric Handel", "George Enescu", False),
        ("Renault 19", "Renault 25", False),
        ("WWE Network", "WWE Studios", False),
        ("Australia", "Austria", False),
        ("it", "Peru", False),
    ],
)
def test_what_may_be_another_name_of_the_same(other, name, same):
    assert could_mean(f"The seat of {other} is", name) is same


@given(NAME, st.text(max_size=60))
def test_any_text_may_be_asked_for_a_name(name, text):
    for asked in (text, f"{text} {name}", name):
        assert isinstance(gives_name(asked, name), bool) and isinstance(could_mean(asked, name), bool)
