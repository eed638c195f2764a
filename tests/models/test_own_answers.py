"""What the unedited model says by itself, and that nothing of it is changed by edits."""

import pytest
import tiny
import torch
from fitted import OTHER, PICTURED, fitted, with_radius, world

import okedit_cli
from okedit_cli.generate import generate
from okedit_cli.models import own_answers
from okedit_cli.models.encode import encode_row
from okedit_cli.models.own_answers import LONGEST, own_answer
from okedit_cli.models.prefixes import prefix_behind, prefix_of
from okedit_cli.models.question import behind_picture
from okedit_cli.models.sites import image_token_id


@pytest.fixture(params=[family for family in tiny.FAMILIES if family not in ("gpt2", "llama")])
def case(request):
    with world():
        yield fitted(request.param)


def test_it_is_what_generate_says_without_edits(case):
    shown = tiny.picture()
    asked = prefix_behind(case.loaded, shown)
    asked.seen.said.clear()
    wanted = [
        one.text for one in generate(case.loaded, [(OTHER, shown), (PICTURED, shown)], max_new_tokens=LONGEST)
    ]
    with okedit_cli.attach(case.loaded, [with_radius(case.bundle, 1e6)]) as attachment:
        with attachment.aside():
            told = [own_answer(case.loaded, asked, words) for words in (OTHER, PICTURED)]
    if told != [None, None]:  # a model that cannot share
        assert told == wanted and asked.seen.said == dict(zip((OTHER, PICTURED), wanted, strict=True))


def test_each_question_is_asked_once(case, monkeypatch):
    asked = prefix_behind(case.loaded, tiny.picture())
    first = own_answer(case.loaded, asked, OTHER)
    monkeypatch.setattr(own_answers, "go_on", pytest.fail)
    if first is not None:
        assert own_answer(case.loaded, asked, OTHER) == first


def test_nobody_can_tell_without_a_picture_or_where_the_question_comes_before_it(case, monkeypatch):
    shown, loaded = prefix_behind(case.loaded, tiny.picture()), case.loaded
    assert own_answer(loaded, prefix_of(loaded, encode_row(loaded, "?", None), None), OTHER) is None
    shown.seen.said.clear()
    monkeypatch.setattr(own_answers, "asks_behind", lambda loaded: False)
    assert own_answer(loaded, shown, OTHER) is None
    monkeypatch.setitem(loaded.cache, "shares", False)
    assert own_answer(loaded, shown, OTHER) is None


def test_what_stands_behind_the_picture_holds_the_question_and_no_picture(case):
    ids = behind_picture(case.loaded, OTHER)
    row = encode_row(case.loaded, OTHER, tiny.picture())["input_ids"][0]
    assert image_token_id(case.loaded.model) not in ids
    assert torch.equal(row[-len(ids) :], torch.tensor(ids))
