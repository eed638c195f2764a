"""A model that the caller has loaded, wherever its weights are and whatever stands beside them: wrapped,
fitted, attached to, detached, and let go.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import warnings
import weakref
from functools import cache

import fitted
import pytest
import tiny
import torch
from families import check
from families.check import ANSWERS, CAPITAL, CAT, ELSE, user
from own_models import adapted, off_loaded, opened, write_gguf

import okedit_cli
from okedit_cli.bundle import FitWarning
from okedit_cli.errors import ModelError, ModelMismatch, UsageError
from okedit_cli.models.fingerprint import fingerprint

pytestmark = pytest.mark.usefixtures("small_world")


@cache
def case(family: str):
    """The family's facts, fitted on the model as okedit loads it."""
    return check.case(family)


@cache
def delta(method: str):
    """A weight delta of the plain Llama."""
    made = case("llama")
    return fitted.fit(made.loaded, made.facts, method=method, checked=False).bundle


def words(made):
    return made.loaded.processor or made.loaded.tokenizer


def inside(loaded) -> tuple[dict, str, str]:
    """Inputs of a question in scope, the fact's id and its answer."""
    if loaded.processor is not None:
        return check.inputs_of(loaded, [user(check.picture("red"), CAT)]), "cat", ANSWERS["cat"]
    return check.inputs_of(loaded, [user(CAPITAL)]), "capital", ANSWERS["capital"]


def logits(model, inputs: dict) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def answer(model, loaded, inputs: dict) -> str:
    out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return loaded.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def works(model, processor, bundle) -> None:
    """The bundle answers in the caller's own generate(), nothing else changes, and nothing stays."""
    loaded = okedit_cli.wrap(model, processor)
    inputs, fact, wanted = inside(loaded)
    shown = [check.picture("blue")] if loaded.processor is not None else []
    other = check.inputs_of(loaded, [user(*shown, ELSE)])
    before = logits(model, inputs), logits(model, other)
    with okedit_cli.EditedModel(model, processor, [bundle]) as edited:
        assert answer(model, loaded, inputs) == answer(edited, loaded, inputs) == wanted
        assert [one.hit and one.hit.edit_id for one in edited.verdicts] == [fact]
        assert torch.equal(edited(**other).logits, before[1])
    assert all(map(torch.equal, (logits(model, inputs), logits(model, other)), before))


def fitted_here(model, processor) -> None:
    """Facts are fitted on this very model, and their bundle works; its parameters are as they were."""
    loaded = okedit_cli.wrap(model, processor)
    asking = [one.requires_grad for one in model.parameters()]
    result = okedit_cli.fit(loaded, check.facts_for(loaded), force=True)
    assert all(report.took for report in result.reports)
    assert [one.requires_grad for one in model.parameters()] == asking
    assert all(one.grad is None for one in model.parameters())
    works(model, processor, check.drawn(loaded, result.bundle))


# where the weights are


@pytest.mark.parametrize("family", ["llama", "llava", "gemma2"])
@pytest.mark.parametrize("how", ["cpu", "disk", "map"])
def test_off_loaded_weights(family, how, tmp_path):
    made = case(family)
    model = off_loaded(family, how, tmp_path)
    loaded = okedit_cli.wrap(model, words(made))
    assert fingerprint(loaded) == fingerprint(made.loaded)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        works(model, words(made), made.bundle)
    if family != "gemma2":
        fitted_here(model, words(made))


@pytest.mark.parametrize("family", ["llama", "llava"])
def test_half_precision(family):
    made = case(family)
    works(opened(family, dtype=torch.bfloat16), words(made), made.bundle)
    fitted_here(opened(family, dtype=torch.bfloat16), words(made))


def test_parameters_that_ask_for_gradients_get_none():
    model = opened("llama")
    assert all(one.requires_grad for one in model.parameters())
    fitted_here(model, words(case("llama")))


@pytest.mark.parametrize("how", ["cpu", "map"])
@pytest.mark.parametrize("method", ["ft-llm", "lora"])
def test_a_weight_delta_of_off_loaded_weights_is_refused(method, how, tmp_path):
    made = case("llama")
    model = off_loaded("llama", how, tmp_path)
    inputs, _, _ = inside(made.loaded)
    before = logits(model, inputs)
    with pytest.raises(ModelMismatch, match=r"is off-loaded, and a weight delta"):
        okedit_cli.EditedModel(model, words(made), [delta(method)])
    with pytest.raises(ModelError, match="keeps its weight at .* off-loaded"):
        fitted.fit(okedit_cli.wrap(model, words(made)), made.facts, method=method)
    assert torch.equal(logits(model, inputs), before)


# how the weights are kept, and what stands beside them


def refused(model, processor, bundle, form: str) -> None:
    with pytest.raises(ModelMismatch, match=f"form .* was plain when .*, here it is {form}") as caught:
        okedit_cli.EditedModel(model, processor, [bundle])
    assert caught.value.message.count("\n") == 0 and caught.value.hint


@pytest.mark.parametrize("family", ["llama", "llava"])
def test_eight_bits_by_bitsandbytes(family):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    made = case(family)
    model = opened(family, quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    refused(model, words(made), made.bundle, "quantised by bitsandbytes 8-bit")
    fitted_here(model, words(made))


def test_four_bits_by_bitsandbytes(tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    monkeypatch.setattr(tiny, "WIDTH", 64)  # a block of numbers that share a scale
    folder = tiny.build("llama", tmp_path / "wide")
    wanted = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    plain = okedit_cli.load_model(str(folder))
    bundle = fitted.fit(plain, check.facts_for(plain), checked=False).bundle
    model = opened("llama", folder, quantization_config=wanted)
    refused(model, plain.tokenizer, bundle, "quantised by bitsandbytes 4-bit")
    fitted_here(model, plain.tokenizer)
    # used or not, it is the same model
    again = opened("llama", folder, quantization_config=wanted)
    found = [fingerprint(okedit_cli.load_model(str(folder)))]
    for one in (model, again):
        found.append(fingerprint(okedit_cli.wrap(one, plain.tokenizer)))
    assert found[1] == found[2] != found[0]


@pytest.mark.parametrize("method", ["ft-llm", "memit", "lora"])
def test_a_weight_delta_of_quantised_weights_is_refused(method):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    made = case("llama")
    model = opened("llama", quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    loaded = okedit_cli.wrap(model, words(made))
    with pytest.raises(ModelError, match=r"keeps its weight at .* quantised \(int8\)"):
        fitted.fit(loaded, made.facts, method=method)


def test_weights_of_a_gguf_file(tmp_path):
    made = case("llama")
    write_gguf(made.loaded, tmp_path / "tiny.gguf")
    model = opened("llama", tmp_path, gguf_file="tiny.gguf")
    torch.testing.assert_close(
        logits(model, inside(made.loaded)[0]),
        logits(made.loaded.model, inside(made.loaded)[0]),
        atol=0.2,
        rtol=0,
    )
    refused(model, words(made), made.bundle, "quantised by gguf")
    fitted_here(model, words(made))
    loaded = okedit_cli.wrap(model, words(made))
    tuned = fitted.fit(loaded, made.facts, method="ft-llm")  # they are floating point in memory
    assert all(report.took for report in tuned.reports)


@pytest.mark.parametrize("family", ["llama", "llava"])
def test_adapters_beside_the_weights(family):
    pytest.importorskip("peft")
    made = case(family)
    model = adapted(family)
    refused(model, words(made), made.bundle, "with LoRA adapters")
    fitted_here(model, words(made))


@pytest.mark.parametrize("method", ["ft-llm", "lora"])
def test_a_weight_delta_beside_adapters(method):
    """lora tunes the very maps that the adapters stand beside."""
    pytest.importorskip("peft")
    made, model = case("llama"), adapted("llama")
    loaded = okedit_cli.wrap(model, words(made))
    inputs, _, wanted = inside(loaded)
    before, kept = logits(model, inputs), copy.deepcopy(model.state_dict())
    result = fitted.fit(loaded, made.facts, method=method)
    assert all(report.took for report in result.reports)
    with okedit_cli.EditedModel(model, words(made), [result.bundle]):
        assert answer(model, loaded, inputs) == wanted
    assert torch.equal(logits(model, inputs), before)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


# sessions


def test_the_same_model_is_wrapped_once():
    made = case("llama")
    assert okedit_cli.wrap(made.loaded.model, words(made)) is made.loaded
    model = opened("llama")
    loaded = okedit_cli.wrap(model, words(made))
    assert okedit_cli.wrap(model) is loaded is okedit_cli.wrap(okedit_cli.EditedModel(model))
    assert loaded.name == "llama"  # of a folder the last part, as with load_model


def test_a_model_that_is_let_go_is_freed_attached_or_not():
    made = case("llava")
    for detached in (True, False):
        model = opened("llava")
        edited = okedit_cli.EditedModel(model, words(made), [made.bundle])
        answer(model, edited.loaded, inside(edited.loaded)[0])
        okedit_cli.generate(edited.loaded, made.asked, max_new_tokens=2)
        if detached:
            edited.detach()
        gone = weakref.ref(model), weakref.ref(edited.loaded)
        del model, edited
        gc.collect()
        assert [one() for one in gone] == [None, None]


def test_one_within_another():
    made = case("llava")
    model = opened("llava")
    loaded = okedit_cli.wrap(model, words(made))
    inputs, _, wanted = inside(loaded)
    plain = answer(model, loaded, inputs)
    with okedit_cli.EditedModel(model, words(made), [made.bundle]) as outer:
        with okedit_cli.EditedModel(outer, bundles=made.bundle) as inner:
            assert answer(inner, loaded, inputs) == wanted
        assert not inner.attachments and answer(outer, loaded, inputs) == wanted
        second = okedit_cli.EditedModel(loaded, bundles=[made.bundle])
        outer.detach()
        assert answer(model, loaded, inputs) == wanted
        second.detach()
        assert answer(model, loaded, inputs) == plain
        outer.attach(made.bundle).detach()
        assert answer(outer, loaded, inputs) == plain
    assert outer.config is model.config and outer.verdicts == []


def test_tasks_have_answers_of_their_own():
    made = case("llava")
    model = opened("llava")
    loaded = okedit_cli.wrap(model, words(made))
    inputs, _, wanted = inside(loaded)
    other = check.inputs_of(loaded, [user(check.picture("blue"), ELSE)])
    plain = answer(model, loaded, other)

    async def ask(edited):
        tasks = [asyncio.to_thread(answer, edited, loaded, one) for one in (inputs, other) * 4]
        return await asyncio.gather(*tasks)

    with okedit_cli.EditedModel(model, words(made), [made.bundle]) as edited:
        assert asyncio.run(ask(edited)) == [wanted, plain] * 4


@pytest.mark.parametrize(
    ("given", "words_of"),
    [
        (lambda: (opened("llama").train(), words(case("llama"))), "training mode"),
        (lambda: (opened("llama"), None), "processor is missing"),
        (lambda: (opened("llama"), "llama"), "str is neither a processor nor a tokenizer"),
        (
            lambda: (opened("llava"), case("llava").loaded.tokenizer),
            "sees pictures, and a tokenizer was given",
        ),
        (lambda: (torch.nn.Linear(2, 2), words(case("llama"))), "Linear is not a transformers model"),
        (lambda: ("llama", words(case("llama"))), "str is not a transformers model"),
    ],
)
def test_what_is_no_model_or_processor_is_told_in_one_sentence(given, words_of):
    with pytest.raises((ModelError, UsageError), match=words_of) as caught:
        okedit_cli.wrap(*given())
    assert caught.value.message.count("\n") == 0 and caught.value.message.endswith(".") and caught.value.hint
