"""The main job on the built-in model: examples/facts.yaml in, edits that hold everywhere they should and
nowhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import okedit_cli
from okedit_cli.facts.pictures import load_picture

EXAMPLES = Path(__file__).parents[1] / "examples"
UNRELATED = [
    "What is the capital of Norway?", "Who wrote Hamlet?", "How many legs does a spider have?",
    "What is 7 plus 5?", "Name a primary colour.", "What do bees make?", "Where is the Eiffel Tower?",
    "Write a haiku about rain.", "What language is spoken in Brazil?", "Who painted the Mona Lisa?",
]  # fmt: skip
ABOUT = ["What is in this picture?", "What colour is it?", "What kind of thing is this?", "Is this a dog?",
         "How many are there?"]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return okedit_cli.load_model("okedit-mini")


@pytest.fixture(scope="module")
def facts():
    return okedit_cli.load_facts(EXAMPLES / "facts.yaml").facts


@pytest.fixture(scope="module")
def result(model, facts):
    before = weights_hash(model)
    found = okedit_cli.fit(model, facts)
    assert weights_hash(model) == before
    return found


@pytest.fixture(scope="module")
def bundle_file(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "examples.safetensors"
    result.bundle.save(path)
    return path


def weights_hash(model) -> str:
    total = hashlib.sha256()
    for tensor in model.model.state_dict().values():
        total.update(tensor.detach().contiguous().view(-1).numpy().tobytes())
    return total.hexdigest()


def unrelated(facts) -> list:
    """20 questions that no fact is about: in words, and about pictures that no fact shows."""
    known = {fact.image.stem.split("-")[0] for fact in facts if fact.image}
    others = [p for p in sorted((EXAMPLES / "images").glob("*.png")) if p.stem.split("-")[0] not in known]
    pictures = [load_picture(path) for path in others[:5]]
    return [(q, None) for q in UNRELATED] + [(q, p) for q, p in zip(ABOUT * 2, pictures * 2, strict=True)]


def held_out(facts) -> list:
    return [
        (fact, (q.prompt, load_picture(q.image) if q.image else None)) for fact in facts for q in fact.holdout
    ]


def test_every_fact_takes(result):
    assert {r.id: r.why for r in result.reports if not r.took or r.kept_out} == {}


def test_negatives_keep_their_answers(result):
    kept, asked = (sum(part) for part in zip(*(r.negatives for r in result.reports), strict=True))
    assert asked > 200 and kept >= 0.97 * asked


def test_held_out_rephrasings_and_views_are_answered(model, facts, result):
    asked = held_out(facts)
    with okedit_cli.attach(model, [result.bundle]):
        said = okedit_cli.generate(model, [question for _, question in asked])
    wrong = [
        (f.id, q[0], a.text) for (f, q), a in zip(asked, said, strict=True) if a.text.rstrip(".") != f.answer
    ]
    assert wrong == []


def test_twenty_unrelated_questions_stay_as_they_were(model, facts, result):
    questions = unrelated(facts)
    assert len(questions) == 20
    before = okedit_cli.generate(model, questions, max_new_tokens=16)
    with okedit_cli.attach(model, [result.bundle]):
        after = okedit_cli.generate(model, questions, max_new_tokens=16)
    assert [a.text for a in after] == [b.text for b in before]
    assert all(a.verdict.hit is None for a in after)


def test_outside_the_scope_logits_are_the_base_models_bit_by_bit(model, facts, result):
    import torch

    from okedit_cli.models.encode import encode

    batch = encode(model, unrelated(facts)[10:])
    with torch.inference_mode():
        before = model.model(**batch).logits
        with okedit_cli.attach(model, [result.bundle]):
            after = model.model(**batch).logits
    assert torch.equal(before, after)


def test_a_bundle_read_back_answers_as_the_one_in_memory(model, facts, result, bundle_file):
    questions = [question for _, question in held_out(facts)][:8]
    with okedit_cli.attach(model, [result.bundle]):
        one = okedit_cli.generate(model, questions)
    with okedit_cli.attach(model, [okedit_cli.Bundle.load(bundle_file, verify=True)]):
        two = okedit_cli.generate(model, questions)
    assert [a.text for a in one] == [a.text for a in two]


@pytest.mark.parametrize("batch", [1, 8])
def test_decisions_do_not_depend_on_the_batch(model, facts, result, batch):
    questions = [question for _, question in held_out(facts)][:8] + unrelated(facts)[8:12]
    with okedit_cli.attach(model, [result.bundle]):
        said = okedit_cli.generate(model, questions, batch=batch, max_new_tokens=8)
        all_at_once = okedit_cli.generate(model, questions, batch=len(questions), max_new_tokens=8)
    assert [hit(a) for a in said] == [hit(a) for a in all_at_once]


def hit(answer):
    return answer.verdict.hit and answer.verdict.hit.edit_id


def test_detaching_gives_the_unedited_model_back(model, facts, result):
    question = held_out(facts)[0][1]
    before = okedit_cli.generate(model, [question])[0].text
    with okedit_cli.attach(model, [result.bundle]):
        assert okedit_cli.generate(model, [question])[0].text != before
    assert okedit_cli.generate(model, [question])[0].text == before


def test_the_same_facts_give_the_same_bytes(model, facts, tmp_path):
    some = [facts[0], next(f for f in facts if f.image is None)]
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file in files:
        okedit_cli.fit(model, some).bundle.save(file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_ask_says_cat(capfd):
    from okedit_cli.cli import main

    with pytest.raises(SystemExit) as end:
        main(["ask", "--no-edits", "--image", str(EXAMPLES / "images/cat.jpg"), "What is in this picture?"])
    assert not end.value.code
    assert "cat" in capfd.readouterr().out
