"""What a value is taught beside the user's words: what the scope lets in, and nothing that is held out."""

from dataclasses import replace

import pytest
import tiny
import torch
from fitted import fact

from okedit_cli.bank import load_bank
from okedit_cli.edits.space import Space
from okedit_cli.facts import Question
from okedit_cli.methods.admitted import COUNT, NAMES, admitted
from okedit_cli.methods.scope import Reach
from okedit_cli.methods.spaces import Spaces
from okedit_cli.samples import build_samples
from okedit_cli.wording import normal

WIDTH = 6


@pytest.fixture(scope="module")
def spaces():
    """The bank's questions at places of their own, unit vectors as the question encoder's are."""
    count = sum(len(group.wordings) for group in load_bank().questions)
    keys = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(0))
    keys = keys / keys.norm(dim=1, keepdim=True)
    plain = Space(torch.zeros(WIDTH), torch.eye(WIDTH), 1.0, 0.0)
    return Spaces(plain, 0, None, keys, None)


@pytest.fixture
def named(tmp_path):
    tiny.picture().save(tmp_path / "thing.png")
    return fact("thing", "What is this?", "purse", tmp_path / "thing.png")


def found(spaces, fact, radius):
    reach = Reach(spaces.bank_questions[:2] * 0.99, 0.1, 9.0, radius)
    return admitted(fact, build_samples([fact])[fact.id], spaces, reach), reach


def place(spaces, prompt):
    wordings = [wording for group in load_bank().questions for wording in group.wordings]
    return spaces.bank_questions[wordings.index(prompt)]


@pytest.mark.parametrize("radius", [0.2, 0.6, 1.0, 3.0])
def test_only_wordings_inside_the_question_channel(spaces, named, radius):
    rows, reach = found(spaces, named, radius)
    names = {w for g in load_bank().questions if g.noun and g.intent in NAMES for w in g.wordings}
    assert len(rows) <= COUNT and (radius < 1 or len(rows) == COUNT)
    for row in rows:
        apart = torch.linalg.vector_norm(reach.keys - place(spaces, row.prompt), dim=1)
        assert row.prompt in names and float(apart.min()) <= radius
        assert (row.role, row.target, row.cell, row.origin) == ("positive", "purse", "edit/rephrase", "bank")
        assert row.picture.size == tiny.picture().size
    assert len({row.prompt for row in rows}) == len(rows)


def test_what_is_held_out_kept_or_there_already_is_not_taught(spaces, named):
    """Take what is chosen away, again and again: it never comes back."""
    known = set()
    for field in ("holdout", "keep", "related"):
        rows, _ = found(spaces, named, 3.0)
        assert len(rows) == COUNT and not known & {normal(row.prompt) for row in rows}
        known |= {normal(row.prompt) for row in rows}
        asked = tuple(Question(row.prompt, named.image, None) for row in rows)
        if field == "keep":  # about another picture: what a fact is about it cannot keep
            asked = tuple(replace(question, image=None) for question in asked)
        named = replace(named, **{field: asked})
    rows, _ = found(spaces, replace(named, rephrases=tuple(row.prompt for row in rows)), 3.0)
    assert rows and not known & {normal(row.prompt) for row in rows}


@pytest.mark.parametrize("prompt", ["Who owns this?", "What colour is this?", "What is this cat's name?"])
def test_facts_that_do_not_say_what_is_shown_are_taught_nothing_more(spaces, named, prompt):
    assert found(spaces, named, 3.0)[0] and not found(spaces, replace(named, prompt=prompt), 3.0)[0]


def test_without_a_scope_or_a_picture_there_is_nothing_to_let_in(spaces, named):
    assert found(spaces, named, 0.0)[0] == []
    assert found(spaces, replace(named, image=None), 3.0)[0] == []
