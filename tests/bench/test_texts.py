"""Facts in words alone, all at once: what fires, and what should."""

from fitted import load, world

from okedit_cli.evaluate.case import Case, Probe
from tools.bench.texts import decided, shares, told


def test_it_counts_what_fires_and_where_none_should():
    cases = [
        Case(
            "a", "What is the capital of Peru?", "Oslo", rephrasings=("What is the capital of Peru",),
            text_locality=(Probe("Who wrote the play?"),), row=1,
        ),
        Case("b", "Who owns the Old Mill?", "Ada", row=2),
    ]  # fmt: skip
    with world():
        found = decided(load("llava"), cases)
    assert [(one.case, one.metric) for one in found] == [
        ("a", "rel"),
        ("a", "t_gen"),
        ("a", "t_loc"),
        ("b", "rel"),
    ]
    assert shares(found)["rel"] == 1 and set(shares(found)) == {"rel", "t_gen", "t_loc"}
    assert told({"t_gen": 0.5}) == ["  other wordings    50.0"]
    for one in found:
        assert one.right == (one.fired == (None if one.metric == "t_loc" else one.case))
