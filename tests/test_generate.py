"""Answers: in the order asked, the same whatever the batch, streamed while they are made."""

from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, OTHER, PARIS, WORDS, fitted, load, with_radius

import okedit_cli
from okedit_cli.errors import UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.reading import shares

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(params=tiny.FAMILIES)
def case(request):
    return fitted(request.param)


def test_batches_of_one_and_of_eight_give_the_same_answers(case):
    plain = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=6)
    assert all(answer.verdict is None for answer in plain)
    with okedit_cli.attach(case.loaded, [case.bundle]):
        alone, together = (
            okedit_cli.generate(case.loaded, case.questions, max_new_tokens=6, batch=size) for size in (1, 8)
        )
    for one, other, before, hit in zip(alone, together, plain, case.hits, strict=True):
        assert one.text == other.text
        assert [a.verdict.hit and a.verdict.hit.edit_id for a in (one, other)] == [hit, hit]
        assert one.verdict.nearest.edit_id == other.verdict.nearest.edit_id
        assert one.text == {"cat": MISO, "capital": PARIS, None: before.text}[hit]


def test_an_answer_is_streamed_as_it_is_made(case):
    pieces = []
    with okedit_cli.attach(case.loaded, [case.bundle]):
        [answer] = okedit_cli.generate(case.loaded, [(WORDS, None)], on_text=pieces.append)
    assert "".join(pieces).strip() == answer.text == PARIS


def test_an_answer_that_its_limit_cut_says_so(case):
    with okedit_cli.attach(case.loaded, [case.bundle]):
        for questions in ([(WORDS, None)], [(WORDS, None), (WORDS, None)]):
            whole = okedit_cli.generate(case.loaded, questions)[0]
            assert whole.text == PARIS and not whole.cut
            short, exact = (
                okedit_cli.generate(case.loaded, questions, max_new_tokens=count)[0]
                for count in (len(whole.ids) - 1, len(whole.ids))
            )
            assert short.cut and not exact.cut


def test_a_lone_surrogate_is_told_as_no_text(case):
    with pytest.raises(UsageError, match="lone surrogate"):
        okedit_cli.generate(case.loaded, [(WORDS, None), ("Who is \ud83d?", None)])


def test_no_question_no_answer(case):
    assert okedit_cli.generate(case.loaded, []) == []


def test_where_prompts_end_is_forgotten_afterwards(case):
    with okedit_cli.attach(case.loaded, [case.bundle]) as attachment:
        okedit_cli.generate(case.loaded, [(WORDS, None)], max_new_tokens=1)
        assert attachment.prompt_lengths is None


def forced(case, question, answer, attachment=None):
    """The likeliest id before each id of an answer, in one plain forward pass over prompt and answer."""
    length = encode(case.loaded, [question])["input_ids"].shape[1]
    batch = encode(case.loaded, [question], answers=[answer])
    if attachment is not None:
        attachment.prompt_lengths = [length]
    with torch.no_grad():
        tops = case.loaded.model(**batch).logits[0, length - 1 : -1].argmax(-1).tolist()
    if attachment is not None:
        attachment.prompt_lengths = None
    return tops


def test_following_is_a_plain_forward_pass(case):
    """With and without edits, in batches of any size, whether prompts are read in parts or not."""
    words = (MISO, "Yes. No.", PARIS, "12")
    ids = [answer_ids(case.loaded, words[n % len(words)]) for n in range(len(case.questions))]
    pairs = list(zip(case.questions, ids, strict=True))
    plain = [forced(case, *pair) for pair in pairs]
    for size in (1, 3, 8):
        assert follow(case.loaded, case.questions, ids, batch=size) == plain
    with okedit_cli.attach(case.loaded, [case.bundle]) as attachment:
        edited = [forced(case, *pair, attachment) for pair in pairs]
        for size in (1, 3, 8):
            assert follow(case.loaded, case.questions, ids, batch=size) == edited
        with attachment.aside():
            assert follow(case.loaded, case.questions, ids) == plain
    assert follow(case.loaded, case.questions, ids) == plain
    for before, after, answer, hit in zip(plain, edited, ids, case.hits, strict=True):
        told = case.loaded.tokenizer.decode(answer, skip_special_tokens=True).strip()
        if hit is None:
            assert after == before
        elif told == {"cat": MISO, "capital": PARIS}[hit]:
            assert after == answer


def test_nothing_to_follow(case):
    assert follow(case.loaded, [], []) == []


def test_deciding_says_what_an_answer_would(case):
    with okedit_cli.attach(case.loaded, [case.bundle]):
        answers = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=1)
        verdicts = decide(case.loaded, case.questions)
        assert [v.hit and v.hit.edit_id for v in verdicts] == case.hits
        assert [v.nearest.edit_id for v in verdicts] == [a.verdict.nearest.edit_id for a in answers]
        assert decide(case.loaded, []) == []


def test_deciding_runs_nothing_of_the_answer(case, monkeypatch):
    """Nor does what was decided touch the next prompt."""
    with okedit_cli.attach(case.loaded, [case.bundle]):
        before = okedit_cli.generate(case.loaded, [(OTHER, None)], max_new_tokens=4)[0].text
        decide(case.loaded, [(WORDS, None)])
        assert okedit_cli.generate(case.loaded, [(OTHER, None)], max_new_tokens=4)[0].text == before
        decide(case.loaded, [(WORDS, None)])
        [answer] = okedit_cli.generate(case.loaded, [(WORDS, None)])
        assert answer.text == PARIS


def test_whether_prompts_can_be_read_in_parts_is_measured_on_the_unedited_model():
    """With an edit attached that acts on the very question that it is measured with."""
    case, loaded = fitted("llama"), load("llama")
    wide = with_radius(case.result.bundle, 9.0)  # acts on every question, far below the last layer
    wide = replace(wide, manifest=replace(wide.manifest, site={**wide.manifest.site, "value_layer": 1}))
    with okedit_cli.attach(loaded, [wide], without=["classifier"]):
        assert shares(loaded)
        together = okedit_cli.generate(loaded, case.questions, max_new_tokens=4)
        alone = [okedit_cli.generate(loaded, [one], max_new_tokens=4)[0] for one in case.questions]
    assert [a.text for a in together] == [a.text for a in alone]


def test_all_prompts_of_one_token():
    """Nothing of them is in a cache: what was decided for them holds all the same."""
    case = fitted("gpt2")
    word = next(w for w in "abc" if len(case.loaded.tokenizer(w)["input_ids"]) == 1)
    asked, ids = [(word, None)] * 2, [answer_ids(case.loaded, MISO), answer_ids(case.loaded, PARIS)]
    wide = with_radius(case.result.bundle, 999.0)
    with okedit_cli.attach(case.loaded, [wide], without=["classifier"]) as attachment:
        edited = [forced(case, one, answer, attachment) for one, answer in zip(asked, ids, strict=True)]
        assert follow(case.loaded, asked, ids) == edited
        assert {d.hit.edit_id for d in attachment.verdicts} == {decide(case.loaded, asked)[0].hit.edit_id}


def test_each_question_may_have_its_own_limit(case):
    with okedit_cli.attach(case.loaded, [case.bundle]):
        whole = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=6)
        limits = [1 + number % 3 for number in range(len(case.questions))]
        short = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=limits)
    assert [one.ids for one in short] == [one.ids[:limit] for one, limit in zip(whole, limits, strict=True)]


def test_an_answer_ends_where_the_model_has_no_positions_left():
    case = fitted("gpt2")  # 256 of them
    for questions in ([(OTHER, None)], [(OTHER, None), ("Who?", None)]):
        answers = okedit_cli.generate(case.loaded, questions, max_new_tokens=400)
        for one, (prompt, _) in zip(answers, questions, strict=True):
            assert not one.cut or len(one.ids) > 150, prompt
