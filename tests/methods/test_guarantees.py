"""What every method's edits must hold, whatever they are: for each method, on models of four families.

Nothing of the model is left changed, a bundle on disk is the bundle, one for another model is refused, and of
gated methods a question outside every scope gets the base model's answer bit by bit.
"""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
import torch
from fitted import facts_for, load, world

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.errors import ModelMismatch, OkeditError
from okedit_cli.methods import method_named, methods
from okedit_cli.models.encode import encode

MINI = "okedit-mini"
FAMILIES = ("llava", "qwen2_vl", "gpt2", "llama", MINI)
QUICK = {  # few steps: nothing here asks whether an edit takes
    "steps": "2", "iterations": "2", "samples": "200", "tokens": "200", "k": "2", "epochs": "1",
}  # fmt: skip
OUTSIDE = [("How many people are there in the picture?", None), ("Tell me\nmore: 3 x 4", None)]


@pytest.fixture(autouse=True)
def small_world(request):
    if MINI in request.node.name:
        mini()  # from the user's home, which the small world's is not
    with world():
        yield


def digest(model) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def hooks(model) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(module, name)) for module in model.modules() for name in names)


def quick(name: str) -> list[str]:
    import dataclasses

    known = {field.name for field in dataclasses.fields(method_named(name).settings)}
    return [f"{key}={value}" for key, value in QUICK.items() if key in known]


@cache
def mini():
    """The built-in model, one for all methods."""
    return okedit_cli.load_model(MINI)


_made: dict[tuple[str, str], tuple] = {}


def made(name: str, family: str):
    """(model, facts, bundle) of a method on a family, each once; skipped where it says that it cannot."""
    if (name, family) not in _made:
        loaded = mini() if family == MINI else load(family)
        facts = facts_for(loaded)
        before = digest(loaded.model)
        try:
            result = okedit_cli.fit(
                loaded, facts, method=name, settings=quick(name), force=True, checked=False
            )
        except OkeditError as error:
            assert digest(loaded.model) == before
            assert error.message.endswith(".") and error.hint
            _made[name, family] = None, None, error
        else:
            assert digest(loaded.model) == before
            _made[name, family] = loaded, facts, result.bundle
    loaded, facts, bundle = _made[name, family]
    if loaded is None:
        pytest.skip(f"{name} says of {family}: {bundle.message}")
    return loaded, facts, bundle


every = pytest.mark.parametrize("name", list(methods()))
family = pytest.mark.parametrize("family", FAMILIES)


@every
@family
def test_detached_nothing_of_it_is_left(name, family):
    loaded, facts, bundle = made(name, family)
    weights, count = digest(loaded.model), hooks(loaded.model)
    plain = logits(loaded, OUTSIDE)
    with okedit_cli.attach(loaded, bundle) as attachment:
        okedit_cli.generate(loaded, [(facts[-1].prompt, None)], max_new_tokens=3)
        with attachment.aside():
            assert digest(loaded.model) == weights
            assert torch.equal(logits(loaded, OUTSIDE), plain)
    assert digest(loaded.model) == weights and hooks(loaded.model) == count
    assert torch.equal(logits(loaded, OUTSIDE), plain)


@every
@family
def test_the_bundle_on_disk_is_the_bundle(name, family, tmp_path):
    loaded, facts, bundle = made(name, family)
    asked = [(fact.prompt, None) for fact in facts] + OUTSIDE
    bundle.save(tmp_path / "one.safetensors")
    again = Bundle.load(tmp_path / "one.safetensors", verify=True)
    assert again.edits.kind == bundle.edits.kind == method_named(name).kind
    said = []
    for one in (bundle, again):
        with okedit_cli.attach(loaded, one):
            said.append([a.text for a in okedit_cli.generate(loaded, asked, max_new_tokens=4)])
    assert said[0] == said[1]
    again.save(tmp_path / "two.safetensors")
    assert (tmp_path / "two.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()


@every
def test_a_bundle_of_another_model_is_refused_and_nothing_is_attached(name):
    _, _, bundle = made(name, "llama")
    other = load("gpt2")
    count = hooks(other.model)
    with pytest.raises(ModelMismatch):
        okedit_cli.attach(other, bundle)
    assert hooks(other.model) == count and not other.session.attachments


@every
@family
def test_outside_a_gated_scope_not_one_bit_changes(name, family):
    loaded, _, bundle = made(name, family)
    if not bundle.edits.gated:
        pytest.skip(f"{name} changes the model for every question")
    plain = [a.ids for a in okedit_cli.generate(loaded, OUTSIDE, max_new_tokens=6)]
    with okedit_cli.attach(loaded, bundle):
        answers = okedit_cli.generate(loaded, OUTSIDE, max_new_tokens=6)
        outside = [a.verdict.hit is None for a in answers]
        assert all(
            before == after.ids for before, after, out in zip(plain, answers, outside, strict=True) if out
        )
        if bundle.edits.kind not in ("memory", "counterfactual"):  # no part of anybody else's pass
            assert torch.equal(logits(loaded, OUTSIDE), logits_aside(loaded, OUTSIDE)) or not all(outside)


@every
def test_the_same_facts_and_seed_give_the_same_edits(name):
    loaded, facts, bundle = made(name, "llama")
    again = okedit_cli.fit(loaded, facts, method=name, settings=quick(name), force=True, checked=False).bundle
    one, other = bundle.edits.tensors(), again.edits.tensors()
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], atol=1e-6, rtol=1e-5)


@every
def test_each_fact_is_fitted_alone_unless_the_method_says_that_it_is_not(name):
    loaded, facts, bundle = made(name, "llama")
    if method_named(name).sequential or bundle.edits.kind != "codebook":
        pytest.skip("its edits share what they change")
    alone = okedit_cli.fit(
        loaded, facts[-1:], method=name, settings=quick(name), force=True, checked=False
    ).bundle
    last = {part: getattr(bundle.codebook, part)[-1:] for part in ("value_down", "value_up", "value_bias")}
    both = last["value_up"].float().mT @ last["value_down"].float()
    one = alone.codebook.value_up.float().mT @ alone.codebook.value_down.float()
    torch.testing.assert_close(one, both, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(alone.codebook.value_bias, last["value_bias"], atol=1e-5, rtol=1e-3)


def logits(loaded, questions) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(**encode(loaded, questions)).logits


def logits_aside(loaded, questions) -> torch.Tensor:
    with loaded.session.aside():
        return logits(loaded, questions)


def test_two_kinds_attached_together_both_act_and_leave_nothing():
    loaded, facts, delta = made("ft-llm", "llama")
    _, _, book = made("balancedit", "llama")
    weights = digest(loaded.model)
    with okedit_cli.attach(loaded, delta):
        changed = digest(loaded.model)
        with okedit_cli.attach(loaded, book):
            answer = okedit_cli.generate(loaded, [(facts[-1].prompt, None)], max_new_tokens=3)[0]
            assert answer.verdict.hit.edit_id == facts[-1].id and digest(loaded.model) == changed
        assert changed != weights
    assert digest(loaded.model) == weights


def test_a_method_of_another_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    """A tiny package with an entry point, installed as pip lays it out."""
    import importlib
    import sys

    (tmp_path / "tiny_method.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from okedit_cli.methods import Method, method_named\n"
        "@dataclass(frozen=True)\n"
        "class Settings:\n"
        "    strength: float = field(default=1.0, metadata={'help': 'how much'})\n"
        "def compute(loaded, facts, options):\n"
        "    assert options.settings.strength == 2.5\n"
        "    return method_named('balancedit').compute(loaded, facts, options)\n"
        "METHOD = Method('tiny-method', 'codebook', compute, 'does as balancedit', 'nobody', Settings)\n"
    )
    info = tmp_path / "tiny_method-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[okedit.methods]\ntiny-method = tiny_method:METHOD\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        assert "tiny-method" in methods()
        loaded = load("llama")
        result = okedit_cli.fit(
            loaded, facts_for(loaded)[1:], method="tiny-method", settings=["strength=2.5"], checked=False
        )
        assert result.bundle.manifest.method == "tiny-method"
    finally:
        sys.modules.pop("tiny_method", None)
