"""Questions in longer texts: judged by themselves where no edit reaches the whole, and where not."""

from dataclasses import replace

import pytest
from fitted import PICTURED, WORDS, fitted, forget, with_fact, world

import okedit_cli
from okedit_cli.cli.explain import decision_json, decision_words
from okedit_cli.generate import decide, generate
from okedit_cli.methods.whole_prompt import WHOLE
from okedit_cli.models.features import question_feature
from okedit_cli.models.question import question_ids

BEFORE, BEHIND = "It rained all day and we met Mr. Brown.", "Answer in one word."
LONG = f"{BEFORE} {WORDS} {BEHIND}"


@pytest.fixture(autouse=True)
def near(monkeypatch):
    """Relations reach less far, since pairs of letters tell little of what is asked."""
    monkeypatch.setattr("okedit_cli.named.relation_radius", lambda: 0.3)


def decided(loaded, bundle, *questions):
    with world():
        forget(loaded)
        with okedit_cli.attach(loaded, [bundle]):
            return decide(loaded, [one if isinstance(one, tuple) else (one, None) for one in questions])


def about(bundle, **more):
    """The bundle, its fact in words about France."""
    return with_fact(bundle, "capital", **{"whom": "France", **more})


@pytest.mark.parametrize("family", ["gpt2", "llava", "qwen2_vl"])
def test_a_question_in_a_longer_text_is_judged_by_itself(family):
    found = fitted(family)
    long, plain, other, twice = decided(
        found.loaded, about(found.bundle), LONG, WORDS, f"{BEFORE} Who?", f"{LONG} {WORDS}"
    )
    assert long.hit == plain.hit and long.hit.edit_id == "capital"
    assert (long.read, plain.read, other.read, twice.read) == (WORDS, "", "", "")
    assert other.hit is None and twice.hit is None
    assert f"for {WORDS!r} by itself" in decision_words(long) and "by itself" not in decision_words(plain)
    assert decision_json(long)["read"] == WORDS


def test_only_an_edit_that_is_about_somebody_named_answers_it():
    found = fitted("gpt2")
    assert decided(found.loaded, about(found.bundle, whom=""), LONG)[0].hit is None
    assert decided(found.loaded, about(found.bundle, whom="Spain"), LONG)[0].hit is None


def test_what_the_owner_keeps_stays_in_its_longer_text():
    found = fitted("gpt2")
    keep = {"keep": [{"prompt": LONG, "picture_sha256": None}]}
    kept, next_one = decided(found.loaded, about(found.bundle, **keep), LONG, f"{BEFORE} {WORDS}")
    assert kept.hit is None and not kept.read and next_one.hit is not None


@pytest.mark.parametrize(
    ("question", "judged"),
    [(PICTURED, False), ("What does this picture show?", True), ("What is it in this picture?", False)],
)
def test_a_text_about_a_picture_is_judged_whole_unless_its_question_says_that_it_is(question, judged):
    found = fitted("llava")
    own = next(picture for words, picture in found.questions if words == PICTURED)
    bundle = found.bundle
    feature = question_feature(found.loaded, question_ids(found.loaded, question), site_layer(bundle))
    book = replace(bundle.codebook, question_keys=bundle.codebook.question_keys.clone())
    book.question_keys[book.question_owner == 0] = book.project_question(feature)
    bundle = with_fact(replace(bundle, codebook=book), "cat", whom="")
    long, plain, bare = decided(
        found.loaded, bundle, (f"{BEFORE} {question}", own), (question, own), (f"{BEFORE} {question}", None)
    )
    assert plain.hit.edit_id == "cat" and bare.hit is None
    assert (long.hit is not None, long.read) == (judged, question if judged else "")


def site_layer(bundle):
    return bundle.manifest.site["key_layer"]


def test_whole_prompts_are_judged_whole():
    found = fitted("gpt2")
    bundle = about(found.bundle)
    site = {**bundle.manifest.site, "question_point": WHOLE}
    whole = replace(bundle, manifest=replace(bundle.manifest, site=site))
    assert not decided(found.loaded, whole, LONG)[0].read


@pytest.mark.parametrize("family", ["gpt2", "llava"])
def test_the_answer_in_a_longer_text_is_changed_and_all_else_is_not(family):
    found = fitted(family)
    asked = [(LONG, None), (f"{BEFORE} Who?", None)]
    with world():
        before = generate(found.loaded, asked, max_new_tokens=8)
        with okedit_cli.attach(found.loaded, [about(found.bundle)]):
            after = generate(found.loaded, asked, max_new_tokens=8)
    assert after[0].decision.read == WORDS and after[0].ids != before[0].ids
    assert after[1].text == before[1].text
