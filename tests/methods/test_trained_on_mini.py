"""The editors that come along with okedit, on the model that they were trained for."""

from __future__ import annotations

import pytest

import okedit_cli
from okedit_cli.facts import Fact
from okedit_cli.fitting import fit, says
from okedit_cli.methods import method_named
from okedit_cli.methods.trained.files import SHIPPED, file_name, read_editor

BELOW = 5_000_000  # bytes of an editor
NAMES = ("mend", "ke", "serac")
PROMPT, ANSWER = "What is the product made by UniFirst?", "umbrellas"


@pytest.fixture(scope="module")
def mini():
    return okedit_cli.load_model("okedit-mini")


@pytest.mark.parametrize("name", NAMES)
def test_an_editor_comes_along_with_its_card(name, mini):
    path = SHIPPED / file_name(name, mini)
    assert path.stat().st_size < BELOW
    card = read_editor(path).card
    assert card["method"] == name and card["base"]["name"] == "okedit-mini" and card["losses"]["held out"]
    assert all(len(one["sha256"]) == 64 for one in card["data"]) and card["okedit"]


@pytest.mark.parametrize("name", NAMES)
def test_its_edit_takes_and_leaves_no_trace(name, mini):
    one = Fact("unifirst", PROMPT, ANSWER)
    before = okedit_cli.generate(mini, [(PROMPT, None)])[0].ids
    bundle = fit(mini, [one], method=name, checked=False).bundle
    assert bundle.edits.kind == method_named(name).kind
    with okedit_cli.attach(mini, bundle):
        assert says(okedit_cli.generate(mini, [(PROMPT, None)])[0].text, ANSWER)
    assert okedit_cli.generate(mini, [(PROMPT, None)])[0].ids == before
