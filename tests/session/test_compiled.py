"""Models that torch.compile has seen, before bundles are attached or after: edits act, and leave no trace."""

from __future__ import annotations

import os
from functools import cache

import pytest
import torch
from families import check
from families.check import ANSWERS, CAPITAL, ELSE, user
from own_models import opened

import okedit_cli
from okedit_cli.models.sites import decoder_layers

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of graph breaks, which hooks are
    pytest.mark.skipif(
        os.environ.get("OKEDIT_FAMILIES") != "all", reason="compiling takes minutes: make test-families"
    ),
]


@pytest.fixture(autouse=True)
def compiled_anew(small_world):
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@cache
def case():
    return check.case("llama")


def compile_model(model):
    model.compile(backend="eager")
    return model


def wrap_model(model):
    return torch.compile(model, backend="eager")


def compile_layers(model):
    for layer in decoder_layers(model):
        layer.compile(backend="eager")
    return model


HOW = [compile_model, wrap_model, compile_layers]


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("how", HOW)
def test_compiled_and_used_before(how):
    made = case()
    inside, outside = (check.inputs_of(made.loaded, [user(prompt)]) for prompt in (CAPITAL, ELSE))
    model = how(opened("llama"))
    plain = [logits(model, one) for one in (inside, outside)]
    with okedit_cli.EditedModel(model, made.loaded.tokenizer, [made.bundle]) as edited:
        first = int(logits(model, inside)[0, -1].argmax())
        assert first == made.loaded.tokenizer(ANSWERS["capital"], add_special_tokens=False)["input_ids"][0]
        assert edited.verdicts[0].hit.edit_id == "capital"
        assert torch.equal(logits(model, outside), plain[1])
    assert torch.equal(logits(model, inside), plain[0]) and torch.equal(logits(model, outside), plain[1])


def test_compiled_while_attached():
    made, model = case(), opened("llama")
    inside = check.inputs_of(made.loaded, [user(CAPITAL)])
    plain = logits(model, inside)
    edited = okedit_cli.EditedModel(model, made.loaded.tokenizer, [made.bundle])
    wanted = logits(model, inside)
    compiled = wrap_model(model)
    assert torch.equal(logits(compiled, inside), wanted) and not torch.equal(wanted, plain)
    edited.detach()
    assert torch.equal(logits(compiled, inside), plain)


def test_facts_are_fitted_on_a_compiled_model():
    made = case()
    model = compile_layers(opened("llama"))
    loaded = okedit_cli.wrap(model, made.loaded.tokenizer)
    logits(model, check.inputs_of(loaded, [user(CAPITAL)]))
    result = okedit_cli.fit(loaded, made.facts, force=True)
    assert all(report.took for report in result.reports)
