"""What other decodings say is told without running them, and is what they say."""

from __future__ import annotations

import contextlib

import pytest
import tiny
from fitted import PARIS, WORDS, fact, fit, fitted

import okedit_cli
from okedit_cli.decodings import BEAMS, PENALTY, WAYS, lost_in
from okedit_cli.models.encode import encode

pytestmark = pytest.mark.usefixtures("small_world")


def said(loaded, question, **options):
    batch = encode(loaded, [question])
    batch.pop("position_ids", None)
    out = loaded.model.generate(**batch, max_new_tokens=20, do_sample=False, **options)
    return loaded.tokenizer.decode(out[0, batch["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_it_is_what_generate_says(family):
    case = fitted(family)
    with okedit_cli.attach(case.loaded, case.bundle):
        questions = [one for one, hit in zip(case.questions, case.hits, strict=True) if hit]
        answers = okedit_cli.generate(case.loaded, questions, max_new_tokens=20)
        for question, answer, lost in zip(
            questions, answers, lost_in(case.loaded, questions, answers), strict=True
        ):
            assert (WAYS[0] in lost) == (said(case.loaded, question, num_beams=BEAMS) != answer.text)
            assert (WAYS[1] in lost) == (
                said(case.loaded, question, repetition_penalty=PENALTY) != answer.text
            )


@contextlib.contextmanager
def scaled(loaded, by: float):
    """The model with logits so many times as large: surer of its answers, or less sure, in the same order."""
    handle = loaded.model.get_output_embeddings().register_forward_hook(lambda module, args, out: out * by)
    yield
    handle.remove()


def test_beams_are_run_only_where_a_rival_may_come_near_and_what_hangs_by_a_thread_is_lost(monkeypatch):
    case, question, runs = fitted("llama"), [(WORDS, None)], []
    monkeypatch.setattr("okedit_cli.decodings.beamed", lambda *a: runs.append(a) or "something else")
    with okedit_cli.attach(case.loaded, case.bundle):
        [answer] = okedit_cli.generate(case.loaded, question, max_new_tokens=20)
        with scaled(case.loaded, 20):
            sure = lost_in(case.loaded, question, [answer])[0]
            assert not runs
        with scaled(case.loaded, 0.05):
            assert okedit_cli.generate(case.loaded, question, max_new_tokens=20)[0].ids == answer.ids
            unsure = lost_in(case.loaded, question, [answer])[0]
    assert {WAYS[0], WAYS[2]} & {*sure} == set() and {WAYS[0], WAYS[2]} <= {*unsure} and len(runs) == 1


def test_what_edit_reports_is_of_answers_that_nothing_holds(monkeypatch):
    monkeypatch.setattr("okedit_cli.decodings.OFTEN", 1.1)  # no sampling is sure enough
    loaded = fitted("gpt2").loaded
    [free] = fit(loaded, [fact("capital", WORDS, PARIS)]).reports
    [held] = fit(loaded, [fact("capital", WORDS, PARIS, verbatim=True)]).reports
    assert free.took and WAYS[2] in free.fragile
    assert held.took and held.fragile == ()
