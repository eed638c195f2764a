"""Bundles of other kinds than codebooks: text memories, which put prompts anew, and weight deltas."""

from __future__ import annotations

import json

import pytest
from fitted import OTHER, PARIS, WORDS, fact, fit, fitted, load, world
from serving import serving_model

import okedit_cli
from okedit_cli.methods import method_named
from okedit_cli.methods.trained.making import make


def bundle_of(method: str, family: str = "llama", **options):
    loaded = load(family)
    return fit(loaded, [fact("capital", WORDS, PARIS)], method=method, **options).bundle


def said(loaded, bundles, questions, count=8) -> list:
    with world(), okedit_cli.attach(loaded, bundles):
        return okedit_cli.generate(loaded, [(one, None) for one in questions], max_new_tokens=count)


@pytest.mark.parametrize("method", ["ike", "scr"])
def test_text_memories(method):
    bundle, asked = bundle_of(method), [WORDS, OTHER]
    expected = said(load("llama"), [bundle], asked)
    with serving_model("llama", ("told", bundle), ("book", fitted("llama").bundle)) as client:
        model = f"{client.base}+told"
        for question, answer in zip(asked, expected, strict=True):
            found = client.chat(question, model=model).json()
            assert found["choices"][0]["message"]["content"] == answer.text
            assert found["okedit"]["edit"] == (answer.verdict.hit and answer.verdict.hit.edit_id)
        alone = client.chat(WORDS, model=client.base).json()
        if expected[0].verdict.hit:  # the facts stand in the prompt that is read
            assert (
                client.chat(WORDS, model=model).json()["usage"]["prompt_tokens"]
                > (alone["usage"]["prompt_tokens"])
            )
        both = client.chat(WORDS).json()
        assert both["choices"][0]["message"]["content"] == PARIS and both["okedit"]["bundle"] == "book"
        found = client.together([(WORDS, {"model": model}), (OTHER, {"model": model})])
        answers = [one.json()["choices"][0]["message"]["content"] for one in found]
        assert answers == [one.text for one in expected]


def test_weight_deltas_act_for_those_alone_who_ask_for_them():
    delta = bundle_of("ft-llm")
    loaded = load("llama")
    plain = [
        one.text for one in okedit_cli.generate(loaded, [(WORDS, None), (OTHER, None)], max_new_tokens=8)
    ]
    changed = [one.text for one in said(loaded, [delta], [WORDS, OTHER])]
    with serving_model("llama", ("delta", delta)) as client:
        for _ in range(2):
            assert [client.text(one, model=client.base) for one in (WORDS, OTHER)] == plain
            assert [client.text(one) for one in (WORDS, OTHER)] == changed
        assert client.chat(WORDS).json()["okedit"]["ungated"] == ["delta"]
        found = client.together([(WORDS, {"model": client.base}), (WORDS, {})] * 4)
        answers = [one.json()["choices"][0]["message"]["content"] for one in found]
        assert answers == [plain[0], changed[0]] * 4


def test_a_small_model_that_answers_in_the_models_place(tmp_path):
    rows = [
        {
            "src": f"What is the capital of country {n}?", "alt": answer, "pred": "Rome",
            "rephrase": f"Country {n} has which capital?", "loc": f"who wrote book {n}", "loc_ans": "Homer",
        }
        for n, answer in enumerate(("Lyon", "Nice", "Brest", "Lille"))
    ]  # fmt: skip
    (tmp_path / "words.json").write_text(json.dumps(rows))
    loaded = load("llama")
    editor = make(
        loaded, method_named("serac"), [tmp_path / "words.json"], output=tmp_path / "serac.safetensors",
        steps=12, minutes=5, held_out=1,
        settings=["width=32", "layers=2", "scope=16", "batch=4", "rate=0.003"],
    )  # fmt: skip
    bundle = bundle_of("serac", settings={"editor": str(editor.path)})
    [expected, other] = said(loaded, [bundle], [WORDS, OTHER])
    assert expected.verdict.hit and not other.verdict.hit
    with serving_model("llama", ("small", bundle)) as client:
        found = client.together([(WORDS, {}), (OTHER, {})])
        answers = [one.json()["choices"][0]["message"]["content"] for one in found]
        assert answers == [expected.text, other.text]
        assert found[0].headers["x-okedit-edit"] == "small/capital"
        assert client.chat(WORDS, max_tokens=2).json()["usage"]["completion_tokens"] <= 2
