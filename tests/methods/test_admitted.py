"""What a value is taught beside the user's words: what asks for the same, and nothing that is held out."""

from dataclasses import replace

import pytest
import tiny
from fitted import fact

from okedit_cli.bank import load_bank
from okedit_cli.encoders.image import DECODER
from okedit_cli.encoders.text import text_vectors
from okedit_cli.facts import Question
from okedit_cli.methods.admitted import COUNT, NAMES, admitted
from okedit_cli.methods.spaces import Spaces
from okedit_cli.samples.sampler import build_samples
from okedit_cli.samples.wording import normal


@pytest.fixture(scope="module")
def spaces():
    """The bank's questions at their places."""
    texts = [wording for group in load_bank().questions for wording in group.wordings]
    return Spaces(None, DECODER, text_vectors(texts))


@pytest.fixture
def named(tmp_path):
    tiny.picture().save(tmp_path / "thing.png")
    return fact("thing", "What is this?", "purse", tmp_path / "thing.png")


def found(spaces, fact):
    return admitted(fact, build_samples([fact])[fact.id], spaces)


def test_wordings_of_the_bank_that_ask_for_a_name(spaces, named):
    rows = found(spaces, named)
    names = {w for g in load_bank().questions if g.noun and g.intent in NAMES for w in g.wordings}
    assert 0 < len(rows) <= COUNT
    for row in rows:
        assert row.prompt in names
        assert (row.role, row.target, row.cell, row.origin) == ("positive", "purse", "edit/rephrase", "bank")
        assert row.picture.size == tiny.picture().size
    assert len({row.prompt for row in rows}) == len(rows)


def test_what_is_held_out_kept_or_there_already_is_not_taught(spaces, named):
    """Take what is chosen away, again and again: it never comes back."""
    known = set()
    for field in ("holdout", "related"):
        rows = found(spaces, named)
        assert not known & {normal(row.prompt) for row in rows}
        known |= {normal(row.prompt) for row in rows}
        named = replace(named, **{field: tuple(Question(row.prompt, named.image, None) for row in rows)})
    rows = found(spaces, replace(named, rephrases=tuple(row.prompt for row in rows)))
    assert not known & {normal(row.prompt) for row in rows}


@pytest.mark.parametrize("prompt", ["Who owns this?", "What is this cat's name?"])
def test_facts_about_one_thing_are_taught_nothing_more(spaces, named, prompt):
    assert found(spaces, named) and not found(spaces, replace(named, prompt=prompt))
    assert not found(spaces, replace(named, image=None))
