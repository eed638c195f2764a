"""Trained editors: what MEND's network is, training with checkpoints, and what an untrained model is told."""

from __future__ import annotations

import json
import os
import random
from unittest import mock

import pytest
import tiny
import torch
from fitted import PARIS, WORDS, fact, facts_for, fit, folder, load, world

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import merge
from okedit_cli.edits.counterfactual import Counterfactual, Speaker
from okedit_cli.errors import InvalidBundle, ModelError, ModelMismatch, UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.methods import method_named
from okedit_cli.methods.trained.cases import read_cases, split
from okedit_cli.methods.trained.files import editor_for, file_name, read_editor
from okedit_cli.methods.trained.ke import Conditioner, KeTrainer, KeTraining, root_mean_square
from okedit_cli.methods.trained.making import make
from okedit_cli.methods.trained.mend import Network
from okedit_cli.methods.trained.upper import Upper
from okedit_cli.models.encode import encode

ANSWERS = ("Lyon", "Nice", "Brest", "Lille", "Metz", "Tours")
SMALL = {
    "mend": ["rank=16", "rate=0.003", "batch=4"],
    "ke": ["hidden=16", "condition=32", "lstm=16", "batch=4"],
    "serac": ["width=32", "layers=2", "scope=16", "batch=4", "rate=0.003"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows in both published forms."""
    folder = tmp_path_factory.mktemp("data")
    words = [
        {
            "src": f"What is the capital of country {n}?", "alt": answer, "pred": "Rome",
            "rephrase": f"Country {n} has which capital?", "loc": f"nq question: who wrote book {n}",
            "loc_ans": "Homer",
        }
        for n, answer in enumerate(ANSWERS)
    ]  # fmt: skip
    (folder / "words.json").write_text(json.dumps(words))
    tiny.pictures(folder)
    seen = [
        {
            "image": f"{colour}.png", "question": "What is this cat's name?", "answers": [{"answer": "Rex"}],
            "counterfact_answer": answer, "rephrased_questions": ["How is this cat called?"],
            "image_rephrase": [f"{colour}.png"], "locality_image": ["blue.png"], "locality_answer": ["Tom"],
            "same_image": [{"question": "Is it big?", "answer": ["no"]}], "loc": "Who wrote it?",
            "loc_ans": "Homer",
        }
        for colour, answer in (("red", "Miso"), ("green", "Juno"), ("red", "Otto"))
    ]  # fmt: skip
    (folder / "seen.json").write_text(json.dumps(seen))
    return folder


def trained(name, loaded, data, path, steps=12, **more):
    files = [data / "words.json"] + ([data / "seen.json"] if loaded.processor else [])
    return make(
        loaded, method_named(name), files, output=path, steps=steps, minutes=5, held_out=1,
        settings=SMALL[name], **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mend(data, tmp_path_factory):
    loaded = load("llama")
    return loaded, trained("mend", loaded, data, tmp_path_factory.mktemp("mend") / "mend.safetensors", 60)


def test_the_change_of_a_rank_1_gradient_is_of_rank_1():
    torch.manual_seed(0)
    network = Network({"3.mlp_in": (32, 64), "3.mlp_out": (64, 32)}, 8, 1e-4)
    for one in network.parameters():
        one.data.normal_()
    one_token = {
        "3.mlp_in": (torch.randn(1, 32), torch.randn(1, 64)),
        "3.mlp_out": (torch.randn(3, 64), torch.randn(3, 32)),
    }
    found = network(one_token)
    ranks = [int(torch.linalg.matrix_rank(up.T @ down)) for down, up in found.values()]
    assert ranks == [1, 3]  # of three tokens of rank 3


def test_the_network_begins_as_the_identity_on_normalised_factors():
    network = Network({"3.mlp_in": (32, 64)}, 8, 1e-4)
    factors = {"3.mlp_in": (torch.randn(5, 32) + 1, torch.randn(5, 64) * 1e-5)}
    network.measure([factors])
    down, up = network(factors)["3.mlp_in"]
    whole = torch.cat(factors["3.mlp_in"], -1)
    wanted = (whole - whole.mean(0)) / whole.std(0)
    torch.testing.assert_close(torch.cat([down, up / -1e-4], -1), wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2_vl", "llava"])
def test_factors_are_those_of_the_models_own_gradient(family):
    """Stored states run through the upper layers alone give the gradient of the whole model."""
    from okedit_cli.methods.tuning import answer_loss, trainable

    loaded = load(family)
    picture = tiny.picture() if loaded.processor else None
    upper = Upper(loaded, 2)
    asked = [("What is this cat's name?", picture, "Miso"), ("What is it?", picture, "A very long one")]
    found = upper.factors(upper.read(asked))
    for row, factors in zip(asked, found, strict=True):
        with trainable(loaded, upper.points) as weights:
            answer_loss(loaded, [row]).backward()
            for name, (u, delta) in factors.items():
                grad = weights[name].grad
                grad = grad.T if upper.weights[name].turned else grad
                torch.testing.assert_close(delta.T @ u, grad, atol=2e-5, rtol=2e-2)


@pytest.fixture(scope="module")
def ke(data, tmp_path_factory):
    loaded = load("llama")
    return loaded, trained("ke", loaded, data, tmp_path_factory.mktemp("ke") / "ke.safetensors", 60)


@pytest.mark.parametrize("name", ["mend", "ke"])
def test_training_lowers_the_loss_and_the_edit_makes_its_answer_likelier(name, request):
    from okedit_cli.methods.tuning import answer_loss

    loaded, made = request.getfixturevalue(name)
    one = fact("capital", "What is the capital of country 2?", "Brest")
    bundle = fit(loaded, [one], method=name, settings={"editor": str(made.path)}, checked=False).bundle
    assert bundle.edits.kind == "delta" and str(made.path) not in json.dumps(bundle.manifest.settings)
    row = [(one.prompt, None, one.answer)]
    with torch.no_grad():
        before = answer_loss(loaded, row)
        with okedit_cli.attach(loaded, bundle):
            with loaded.session.at_rest():
                after = answer_loss(loaded, row)
        assert torch.equal(answer_loss(loaded, row), before)
    assert after < before - 0.5


def test_facts_are_edited_alone_and_added_up_and_the_bundle_on_disk_is_the_bundle(mend, tmp_path):
    loaded, made = mend
    facts = [fact("a", "What is the capital of country 2?", "Brest"), fact("b", WORDS, PARIS)]
    both, *each = (
        fit(loaded, some, method="mend", settings={"editor": str(made.path)}, checked=False).bundle
        for some in (facts, facts[:1], facts[1:])
    )
    for name, change in both.edits.changes.items():
        total = sum(one.edits.changes[name].whole() for one in each)
        torch.testing.assert_close(change.whole(), total, atol=1e-5, rtol=1e-3)
    both.save(tmp_path / "x.safetensors")
    again = Bundle.load(tmp_path / "x.safetensors", verify=True)
    said = []
    for one in (both, again):
        with okedit_cli.attach(loaded, one):
            said.append([a.ids for a in okedit_cli.generate(loaded, [(WORDS, None)], max_new_tokens=4)])
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["mend", "ke"])
def test_pictures_are_trained_on_too_and_an_editor_is_found_at_home(name, data, tmp_path):
    loaded = load("llava")
    made = trained(name, loaded, data, tmp_path / "x.safetensors", 3)
    assert set(made.card["losses"]["held out"]) >= {"text", "image", "keep"}
    place = tmp_path / "editors" / file_name(name, loaded)
    place.parent.mkdir()
    made.path.rename(place)
    with world(), mock.patch.dict(os.environ, {"OKEDIT_HOME": str(tmp_path)}):
        assert editor_for(name, loaded).digest == read_editor(place).digest


def test_kes_change_is_the_gated_gradient_and_its_size_is_what_the_loss_bounds():
    torch.manual_seed(0)
    one = Conditioner(8, 4, (6, 5))
    condition, u, delta = torch.randn(8), torch.randn(3, 6), torch.randn(3, 5)
    down, up = one(condition, (u, delta))
    row, column, row_2, column_2, size = one.layers(condition).split([5, 6, 5, 6, 1])
    gate = torch.outer(row.softmax(0), column)
    wanted = (delta.T @ u) * gate + torch.outer(row_2.softmax(0), column_2)
    torch.testing.assert_close(up.T @ down, size.sigmoid() * wanted)
    torch.testing.assert_close(root_mean_square(down, up), (up.T @ down).pow(2).mean().sqrt())


def test_kes_margin_grows_dearer_while_a_change_is_larger(data):
    loaded = load("llama")
    cases = read_cases(data / "words.json")
    training = KeTrainer(loaded, cases, KeTraining(hidden=16, condition=32, lstm=16, batch=4, margin=1e-6), 0)
    before = float(training.network.multiplier.detach())
    for number in range(3):
        training.step(random.Random(number))
    assert float(training.network.multiplier.detach()) > before


@pytest.fixture(scope="module")
def serac(data, tmp_path_factory):
    loaded = load("llava")
    made = trained("serac", loaded, data, tmp_path_factory.mktemp("serac") / "serac.safetensors", 150)
    facts = [fact("a", "What is the capital of country 2?", "Brest"), facts_for(loaded)[0]]
    return loaded, fit(loaded, facts, method="serac", settings={"editor": str(made.path)}).bundle


def test_seracs_small_model_answers_in_scope_and_the_base_model_elsewhere(serac, tmp_path):
    loaded, bundle = serac
    asked = [
        ("What is the capital of country 2?", None), ("What is this cat's name?", tiny.picture()),
        ("Is it big?", tiny.picture()), ("who wrote book 3", None),
        ("What is this cat's name?", None),
    ]  # fmt: skip
    plain = okedit_cli.generate(loaded, asked, max_new_tokens=6)
    bundle.save(tmp_path / "x.safetensors")
    again = Bundle.load(tmp_path / "x.safetensors", verify=True)
    for one in (bundle, again):
        with okedit_cli.attach(loaded, one) as attachment:
            answers = okedit_cli.generate(loaded, asked, max_new_tokens=6)
            alone = [okedit_cli.generate(loaded, [row], max_new_tokens=6)[0].ids for row in asked]
            assert [a.ids for a in answers] == alone
            verdicts = decide(loaded, asked)
            assert [v.hit and v.hit.edit_id for v in verdicts] == ["a", "cat", None, None, None]
            assert len(attachment.verdicts) == len(asked)
            ids = [a.ids for a in answers]
            assert [tuple(row) for row in follow(loaded, asked[:2], ids[:2])] == ids[:2]
            said = []
            okedit_cli.generate(loaded, asked[:1], on_text=said.append)
            assert "".join(said).strip() == "Brest"
            with pytest.raises(UsageError, match="counterfactual memory"):
                loaded.model(**encode(loaded, asked[:1]))
        assert [a.text for a in answers[:2]] == ["Brest", "Miso"]
        assert [a.ids for a in answers[2:]] == [a.ids for a in plain[2:]]
    assert [a.ids for a in okedit_cli.generate(loaded, asked, max_new_tokens=6)] == [a.ids for a in plain]


def test_rows_of_a_counterfactual_memory_stand_alone_and_broken_ones_are_refused(serac):
    loaded, bundle = serac
    edits = bundle.edits
    part = edits.rows([1])
    assert len(part) == 1 and part.picture_owner.tolist() == [0]
    whole = edits.tensors()
    for name, other in (
        ("counterfactual.keys", None), ("counterfactual.picture_owner", torch.tensor([7])),
        ("counterfactual.network.model.joined", torch.zeros(2, 3, 4)),
        ("counterfactual.keys", torch.zeros(2, 5)),
    ):  # fmt: skip
        broken = {n: t for n, t in whole.items() if n != name} | ({} if other is None else {name: other})
        with pytest.raises(InvalidBundle):
            Counterfactual.from_tensors(broken)
    with pytest.raises(UsageError, match="cannot be"):
        merge([bundle, bundle])


def test_the_small_model_takes_its_answer_from_the_edit_that_it_reads(serac):
    """Answers of other cases are mixed in training: an answer is no part of what is learned of a prompt."""
    loaded, bundle = serac
    for answer in ("Lille", "Juno", "Homer"):
        one = bundle.manifest.facts[0] | {"answer": answer}
        speaker = Speaker(loaded, bundle.edits, one, "Country 2 has which capital?")
        assert loaded.tokenizer.decode(speaker.answer(12), skip_special_tokens=True).strip() == answer


@pytest.mark.parametrize("name", SMALL)
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(name, data, tmp_path):
    loaded = load("llama")
    whole = trained(name, loaded, data, tmp_path / "whole.safetensors", 6)
    count = [0]

    def interrupt(stage, done, total):
        count[0] += stage == "training"
        if count[0] == 3:
            raise KeyboardInterrupt

    part = tmp_path / "part.safetensors"
    with pytest.raises(KeyboardInterrupt):
        trained(name, loaded, data, part, 6, tell=interrupt)
    assert not part.exists() and (tmp_path / "part.safetensors.part").exists()
    with pytest.raises(UsageError, match="other data or settings"):
        trained(name, loaded, data, part, 6, seed=1)
    gone_on = trained(name, loaded, data, part, 6)
    assert gone_on.card["steps"] == 6 and not (tmp_path / "part.safetensors.part").exists()
    one, other = read_editor(whole.path).tensors, read_editor(gone_on.path).tensors
    for key in one:
        torch.testing.assert_close(one[key], other[key], atol=1e-3, rtol=1e-2)  # batches of reading differ


@pytest.mark.parametrize("name", SMALL)
def test_on_another_model_a_method_says_that_it_is_not_trained(name, mend, tmp_path):
    other = load("gpt2")
    with pytest.raises(ModelError, match=f"{name} is not trained for gpt2.") as error:
        fit(other, facts_for(other), method=name)
    assert f"okedit train {name}" in error.value.hint
    with pytest.raises(ModelMismatch, match="was trained for"):
        fit(other, facts_for(other), method=name, settings={"editor": str(mend[1].path)})
    (tmp_path / "odd.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidBundle, match="no trained editor"):
        fit(other, facts_for(other), method=name, settings={"editor": str(tmp_path / "odd.safetensors")})


def test_what_is_no_editor_is_not_replaced(data, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear")
    with pytest.raises(UsageError, match="no trained editor"):
        trained("mend", load("llama"), data, path, 1)
    assert path.read_text() == "dear"


def test_the_command_trains_and_says_where_the_editor_is(data, tmp_path, capsys):
    from okedit_cli.cli import main

    out = tmp_path / "ke.safetensors"
    words = ["train", "ke", str(data / "words.json"), "-m", str(folder("llama")), "-o", str(out)]
    sets = [part for one in SMALL["ke"] for part in ("--set", one)]
    with pytest.raises(SystemExit) as end:
        main([*words, "--steps", "2", "--held-out", "2", "--json", *sets])
    told = json.loads(capsys.readouterr().out)
    assert end.value.code == 0 and told["steps"] == 2 and told["bytes"] == out.stat().st_size
    assert set(told["losses"]["held out"]) == {"text", "image", "keep", "size"}
    with pytest.raises(SystemExit) as end:
        main(["train", "ft-llm", str(data / "words.json")])
    assert end.value.code == 2 and "no editor that is trained" in capsys.readouterr().err


def test_rows_that_are_none_are_told(tmp_path):
    (tmp_path / "odd.json").write_text('[{"a": 1}]')
    for path in (tmp_path / "odd.json", tmp_path / "none.json"):
        with pytest.raises(UsageError) as error:
            read_cases(path)
        assert error.value.hint
    assert [len(part) for part in split(list(range(10)), 3)] == [7, 3]
