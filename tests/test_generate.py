"""Answers: in the order asked, the same whatever the batch, streamed while they are made."""

import pytest
import tiny
from fitted import MISO, PARIS, WORDS, fitted, world

import okedit_cli


@pytest.fixture(autouse=True)
def small_world():
    with world():
        yield


@pytest.fixture(params=tiny.FAMILIES)
def case(request):
    return fitted(request.param)


def test_batches_of_one_and_of_eight_give_the_same_answers(case):
    plain = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=6)
    assert all(answer.decision is None for answer in plain)
    with okedit_cli.attach(case.loaded, [case.bundle]):
        alone, together = (
            okedit_cli.generate(case.loaded, case.questions, max_new_tokens=6, batch=size) for size in (1, 8)
        )
    for one, other, before, hit in zip(alone, together, plain, case.hits, strict=True):
        assert one.text == other.text
        assert [a.decision.hit and a.decision.hit.edit_id for a in (one, other)] == [hit, hit]
        assert one.decision.nearest.edit_id == other.decision.nearest.edit_id
        assert one.text == {"cat": MISO, "capital": PARIS, None: before.text}[hit]


def test_an_answer_is_streamed_as_it_is_made(case):
    pieces = []
    with okedit_cli.attach(case.loaded, [case.bundle]):
        [answer] = okedit_cli.generate(case.loaded, [(WORDS, None)], on_text=pieces.append)
    assert "".join(pieces).strip() == answer.text == PARIS


def test_no_question_no_answer(case):
    assert okedit_cli.generate(case.loaded, []) == []


def test_where_prompts_end_is_forgotten_afterwards(case):
    with okedit_cli.attach(case.loaded, [case.bundle]) as attachment:
        okedit_cli.generate(case.loaded, [(WORDS, None)], max_new_tokens=1)
        assert attachment.prompt_lengths is None
