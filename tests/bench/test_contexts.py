"""Questions are written into longer texts, each in its turn, and what is decided of them is counted."""

import tiny
from fitted import load, world

import okedit_cli
from okedit_cli.evaluate.case import Case, Probe
from tools.bench.ablation import held
from tools.bench.contexts import COLUMNS, contexts, judged, shares


def test_every_place_has_its_texts_in_turn():
    rows = dict(contexts())
    assert rows["as it stands"]("Who?") == "Who?"
    before = [rows["something before it"]("Who?") for _ in range(3)]
    assert len(set(before)) == 3 and all(text.endswith(" Who?") for text in before)
    assert rows["something behind it"]("Who?").startswith("Who? ")
    more = rows["six times as much before it"]("Who?")
    assert len(more) > 2 * max(map(len, before)) and more.endswith(" Who?")
    assert " Who? " in rows["both"]("Who?")


def test_it_counts_what_fires_and_says_what_should_not(tmp_path):
    red = tiny.pictures(tmp_path) / "red.png"
    case = Case("a", "Who is Ann Lee?", "Ada", None, text_locality=(Probe("Who wrote the play?"),), row=1)
    shown = Case("b", "What is this?", "a cat", red, row=2)
    with world():
        loaded = load("llava")
        with okedit_cli.attach(loaded, [held(loaded, [case.fact(), shown.fact()])]):
            found = judged(loaded, [case, shown], lambda text: f"Hello. {text}", {None: None})
            wrong = judged(loaded, [case], lambda text: "What?", {None: None})
    assert [metric for metric, _ in found] == ["rel", "t_loc", "rel"]
    assert found[0] == ("rel", "") and wrong[0] == ("rel", "rel of a: 'What?'")
    assert dict(zip(COLUMNS, shares(found), strict=True))["i_loc"] == "-"
    assert shares([("rel", ""), ("rel", "x"), ("rel", "")])[0] == "66.7"
