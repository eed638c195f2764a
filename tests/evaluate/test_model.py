"""The bench over a real, tiny model: teacher forcing, and nothing left behind."""

from __future__ import annotations

import pytest
import tiny

from okedit_cli.evaluate import Plan, evaluate
from okedit_cli.evaluate.bench import Question
from okedit_cli.evaluate.case import METRICS, Case, DataSet, Probe
from okedit_cli.evaluate.model import ModelBench
from okedit_cli.models.load import load_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_model(str(tiny.build("llava", tmp_path_factory.mktemp("llava"))), device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tiny.pictures(tmp_path_factory.mktemp("pictures"))


def questions(pictures):
    asked = [Question("What is it?", pictures / f"{c}.png") for c in ("red", "green", "blue")]
    return [*asked, Question("Who leads the whole office now?"), Question("Why?")]


ANSWERS = ["a cat", "dog", "the very long name of a thing", "Ada", "no"]


def test_teacher_forcing_does_not_depend_on_the_batch(loaded, pictures):
    with ModelBench(loaded, batch=16).plain() as answerer:
        whole = answerer.forced(questions(pictures), ANSWERS)
    with ModelBench(loaded, batch=1).plain() as answerer:
        apart = answerer.forced(questions(pictures), ANSWERS)
    assert whole == apart
    assert all(len(one.gold) == len(one.top) > 1 for one in whole)


def test_teacher_forcing_sees_what_generation_does(loaded, pictures):
    from okedit_cli.models.encode import answer_ids, encode

    question, picture = questions(pictures)[0], tiny.picture("red")
    inputs = encode(loaded, [(question.prompt, picture)])
    out = loaded.model.generate(**inputs, max_new_tokens=1, do_sample=False)
    with ModelBench(loaded).plain() as answerer:
        [found] = answerer.forced([question], ["a cat"])
    assert found.top[0] == int(out[0, -1]) and list(found.gold) == answer_ids(loaded, "a cat")


def test_the_method_that_edits_nothing_on_a_model(loaded, pictures, tmp_path):
    red, blue = pictures / "red.png", pictures / "blue.png"
    cases = [
        Case("a", "What is it?", "a cat", red, rephrasings=("Name it.",), pictures=(blue,), row=1),
        Case("b", "Who leads?", "Ada", text_locality=(Probe("Who wrote it?"),), row=2),
    ]
    data = DataSet(pictures / "set.json", "okedit", tuple(cases), "0")
    out = tmp_path / "r.json"
    result = evaluate(loaded, data, method="none", plan=Plan(), out=out, max_tokens=4)
    assert out.exists() and result.about["method"] == "none"
    for figure in result.figures:
        if figure.metric in METRICS and not METRICS[figure.metric].positive:
            assert figure.value == 1
    assert evaluate(loaded, data, method="none", plan=Plan(), max_tokens=4, batch=1).records == result.records


def test_an_answer_that_is_long_gets_the_tokens_that_it_needs(loaded, pictures):
    long = "Every visitor signs the book at the front desk and takes a badge with a number on it."
    asked = questions(pictures)
    bench = ModelBench(loaded, max_tokens=4, answers={asked[0]: {long, "a cat"}, asked[1]: {"a"}})
    with bench.plain() as answerer:
        needed = len(answerer.spelled(long))
        limits = [len(one.ids) for one in answerer.answer(asked)]
    assert limits[0] >= needed > 4 >= max(limits[1:])
