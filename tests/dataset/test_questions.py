"""The stock of questions, and what is drawn from it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from okedit_cli.dataset.questions import half, other_text, prompt, rephrased, same_picture
from okedit_cli.dataset.things import Thing, fold, stock

OWL = Thing("drawing/x", "drawing", ("owl",), "animal", "animal", ("bird",), "birds", b"", medium="drawing")
FLAG = replace(OWL, kind="flag", accepted=("Norway",), sort="flag", noun="country", near="Europe")
TYPES = ("animal", "food", "kind", "flag", "shown", "called")


@pytest.mark.parametrize("type", TYPES)
def test_each_type_has_forty_wordings_and_more_that_differ(type):
    words = stock("questions")[type]
    texts = [fold(text) for text in words["wordings"]]
    assert len(set(texts)) == len(texts) >= 40
    assert not set(texts) & {fold(text) for text in words["prompts"]}
    assert min(map(len, texts)) < 25 and max(map(len, texts)) > 50


def test_halves_share_nothing_across_types_once_filled():
    of_type = {"flag": FLAG, "kind": replace(OWL, noun="object", sort="tool")}
    drawn = {"fit": set(), "test": set()}
    for split, texts in drawn.items():
        for type in TYPES:
            for seed in range(40):
                texts |= set(rephrased(type, of_type.get(type, OWL), split, "", random.Random(seed)))
    assert min(map(len, drawn.values())) >= 6 * 20
    assert not drawn["fit"] & drawn["test"]


def test_the_other_stocks_are_large_and_halved():
    others = stock("others")
    assert len(others["same_image"]) >= 30 and len(others["loc"]) >= 60
    for name in ("same_image", "loc", "beside"):
        rows = others[name]
        assert len({row["question"] for row in rows}) == len(rows)
        assert not {r["question"] for r in half(rows, "fit")} & {r["question"] for r in half(rows, "test")}


def test_nouns_and_countries_are_put_into_wordings():
    thing = replace(OWL, noun="object", sort="tool")
    for seed in range(40):
        for text in rephrased("kind", thing, "test", "", random.Random(seed)):
            assert "{" not in text and " a object" not in text
    assert prompt("flag", FLAG, random.Random(0)) in stock("questions")["flag"]["prompts"]
    island = replace(FLAG, noun="country or territory")
    assert prompt("flag", island, random.Random(0)) in stock("questions")["flag"]["territory"]


def test_answers_about_the_picture_fit_it():
    photograph = replace(OWL, kind="photograph", medium="photograph")
    seen = {}
    for thing in (OWL, photograph):
        for seed in range(60):
            for row in same_picture(thing, "test", random.Random(seed)):
                seen[thing.kind, row["question"]] = row["answer"]
    assert seen["drawing", "Is this a photograph or a drawing?"][0] == "drawing"
    assert seen["photograph", "Is this a photograph or a drawing?"][0] == "photograph"
    assert seen["drawing", "What colour is the background?"] == ["white"]
    assert seen["photograph", "What colour is the background?"] == []


def test_a_question_without_a_picture_never_has_the_thing_as_its_answer():
    lion = replace(OWL, accepted=("lion",))
    for seed in range(300):
        question, answers = other_text(lion, "test", random.Random(seed))
        assert answers and "lion" not in map(fold, answers), question
