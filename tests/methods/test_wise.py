"""WISE: a masked side copy of one feed-forward map, margins of activations, queries routed by activation."""

from dataclasses import replace
from functools import cache

import pytest
import tiny
import torch
from fitted import PARIS, PICTURED, WORDS, fact, facts_for, fit, load

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import merge
from okedit_cli.edits.delta import Change, Delta, Gate
from okedit_cli.errors import InvalidBundle, ModelMismatch, UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.methods.wise import WiseSettings, margin_loss
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.points import Point, weight_at

LAYER = 2
SITE = f"{LAYER}.mlp_out"
AS_PUBLISHED = [
    "unit=0",
    f"rate={32 / 4096}",
]  # without what is scaled by a model's sizes, which are tiny here
FAMILIES = ("llava", "qwen2_vl", "gpt2", "llama")

pytestmark = pytest.mark.usefixtures("small_world")


@cache
def case(family):
    """(model, result) of the fact in words: random activations tell no two edits apart."""
    loaded = load(family)
    return loaded, fit(loaded, facts_for(loaded)[1:], method="wise", layer=LAYER, settings=AS_PUBLISHED)


def with_ratio(bundle, ratio):
    """The bundle with another share of the edits' smallest activation."""
    gate = replace(bundle.edits.gate, ratio=ratio)
    return replace(bundle, edits=replace(bundle.edits, gate=gate))


def activation(loaded, bundle, prompt, picture=None):
    """|x dW^T| at the last prompt token, read here."""
    seen = []
    module = weight_at(loaded.model, Point(LAYER, "mlp_out")).module
    handle = module.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        loaded.model(**encode(loaded, [(prompt, picture)]))
    handle.remove()
    return float((bundle.edits.changes[SITE].whole() @ seen[0][0, -1]).norm())


def asked(loaded):
    own = tiny.picture() if loaded.processor else None
    return [(WORDS, None), (PICTURED, own), ("Who?", None), ("Tell me\nmore: 3 x 4", None)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gate_is_the_activations(family):
    """Queries are routed where their activation passes the share of the edit's, whatever reads them."""
    loaded, result = case(family)
    own = activation(loaded, result.bundle, WORDS)
    found = [activation(loaded, result.bundle, *one) for one in asked(loaded)]
    for ratio in (0.4, 0.95, 1.05):
        bundle = with_ratio(result.bundle, ratio)
        assert min(abs(one / (ratio * own) - 1) for one in found) > 1e-4  # none on the border
        inside = [one > ratio * own for one in found]
        with okedit_cli.attach(loaded, bundle) as attachment:
            verdicts = decide(loaded, asked(loaded))
            answers = okedit_cli.generate(loaded, asked(loaded), max_new_tokens=2)
            for question, hit in zip(asked(loaded), inside, strict=True):
                loaded.model(**encode(loaded, [question]))
                assert (attachment.verdicts[0].hit is not None) == hit
        assert [one.hit is not None for one in verdicts] == inside
        assert [one.verdict.hit is not None for one in answers] == inside
        near = verdicts[0].nearest
        assert near.edit_id == "capital" and near.question_distance == pytest.approx(own / found[0], rel=1e-4)
        assert near.question_radius == pytest.approx(1 / ratio)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_edit_takes_and_outside_no_bit_changes(family, tmp_path):
    loaded, result = case(family)
    assert result.reports[0].took
    bundle = with_ratio(result.bundle, 0.9999)
    bundle.save(tmp_path / "wise")
    read = Bundle.load(tmp_path / "wise", verify=True)
    assert read.edits.gated and torch.equal(read.edits.gate.keys, bundle.edits.gate.keys)
    weight = weight_at(loaded.model, Point(LAYER, "mlp_out")).tensor
    before, place = weight.clone(), weight.data_ptr()
    batches = [encode(loaded, [one]) for one in asked(loaded)]
    plain = [loaded.model(**batch).logits for batch in batches]
    for one in (bundle, read):
        with okedit_cli.attach(loaded, one) as attachment:
            answers = okedit_cli.generate(loaded, asked(loaded), max_new_tokens=12)
            assert answers[0].text == PARIS and answers[0].verdict.hit.edit_id == "capital"
            ids = answer_ids(loaded, PARIS)
            assert follow(loaded, [(WORDS, None)], [ids]) == [ids]
            out = loaded.model.generate(**batches[0], max_new_tokens=len(ids), do_sample=False)
            assert out[0, batches[0]["input_ids"].shape[1] :].tolist() == ids
            hits = 0
            for batch, logits in zip(batches, plain, strict=True):
                edited = loaded.model(**batch).logits
                hit = attachment.verdicts[0].hit is not None
                hits += hit
                assert torch.equal(edited, logits) == (not hit)
            assert 1 <= hits < len(batches)
            assert weight.data_ptr() == place  # it stands beside the weight
    assert torch.equal(weight, before)
    for batch, logits in zip(batches, plain, strict=True):
        assert torch.equal(loaded.model(**batch).logits, logits)


def test_rows_of_a_batch_are_routed_apart():
    loaded, result = case("llama")
    bundle = with_ratio(result.bundle, 0.9999)
    batch = encode(loaded, [(WORDS, None), ("Who?", None), (WORDS, None)])
    plain = loaded.model(**batch).logits
    with okedit_cli.attach(loaded, bundle) as attachment:
        edited = loaded.model(**batch).logits
        hits = [one.hit is not None for one in attachment.verdicts]
    assert hits[0] and hits[2] and not hits[1]
    assert [torch.equal(a, b) for a, b in zip(edited, plain, strict=True)] == [False, True, False]


def test_a_share_of_the_weights_moves_and_none_too_far():
    loaded = load("llama")
    facts = facts_for(loaded)[1:]
    for share, bound in ((0.2, 1.0), (0.5, 0.01)):
        given = [f"mask={share}", f"bound={bound}", "steps=5"]
        bundle = fit(loaded, facts, method="wise", layer=LAYER, settings=given).bundle
        [change] = bundle.edits.changes.values()
        moved = change.whole().abs()
        assert float((moved > 1e-6 * moved.max()).float().mean()) == pytest.approx(share, abs=0.05)
        assert 0 < float(moved.max()) <= bound + 1e-6


def test_the_margins_are_the_papers():
    """Activations 3 inside and 4 outside: 20 - 3, nothing above 5, 10 - (3 - 4); and 7 outside."""
    change, edit = torch.eye(2), torch.tensor([3.0, 0.0])
    settings = WiseSettings()
    assert float(margin_loss(change, edit, torch.tensor([[0.0, 4.0]]), settings)) == 17 + 0 + 11
    assert float(margin_loss(change, edit, torch.tensor([[0.0, 7.0]]), settings)) == 17 + 2 + 14
    assert float(margin_loss(change, edit, None, settings)) == 17
    assert float(margin_loss(8 * change, edit, torch.tensor([[0.5, 0.0]]), settings)) == 0


def test_equal_seeds_give_equal_memories_and_others_do_not():
    loaded, result = case("gpt2")
    facts = facts_for(loaded)[1:]
    found = [
        fit(loaded, facts, method="wise", layer=LAYER, seed=seed, settings=AS_PUBLISHED).bundle
        for seed in (0, 1)
    ]
    changes = [one.edits.changes[SITE].whole() for one in (result.bundle, *found)]
    assert torch.equal(changes[0], changes[1]) and not torch.equal(changes[0], changes[2])


def test_edits_share_one_memory_and_the_nearest_is_named():
    loaded = load("llama")
    facts = facts_for(loaded)
    bundle = fit(loaded, facts, method="wise", layer=LAYER, settings=["ratio=0.01"]).bundle
    assert len(bundle.edits) == 2 and len(bundle.edits.changes) == 1
    with okedit_cli.attach(loaded, bundle):
        verdicts = decide(loaded, [(PICTURED, None), (WORDS, None)])
    assert [one.hit.edit_id for one in verdicts] == ["cat", "capital"]


def test_it_stands_beside_other_bundles():
    loaded, result = case("llama")
    bundle = with_ratio(result.bundle, 0.9999)
    other = fit(loaded, [fact("cat", PICTURED, "dog")], method="ft-llm", checked=False).bundle
    batch = encode(loaded, [("Who?", None)])
    with okedit_cli.attach(loaded, [other]):
        changed = loaded.model(**batch).logits
        with okedit_cli.attach(loaded, bundle, strictness=1.0):
            assert torch.equal(loaded.model(**batch).logits, changed)
    with okedit_cli.attach(loaded, bundle):
        attached = loaded.session
        assert attached.gated and not attached.weights.changed


def test_what_is_wrong_is_told():
    loaded, result = case("llama")
    facts = facts_for(loaded)[1:]
    with pytest.raises(UsageError, match="Layer 4 cannot carry"):
        fit(loaded, facts, method="wise", layer=4)
    with pytest.raises(UsageError, match="rate is -1"):
        fit(loaded, facts, method="wise", settings=["rate=-1"])
    with pytest.raises(UsageError, match="cannot be merged"):
        merge([result.bundle, result.bundle])
    other = load("gpt2")
    with pytest.raises((InvalidBundle, ModelMismatch)):
        okedit_cli.attach(other, result.bundle)


@pytest.mark.parametrize(
    ("gate", "changes", "words"),
    [
        (Gate(torch.zeros(2, 3), 0.4), {"1.mlp_out": (4, 3)}, "gate.keys"),
        (Gate(torch.zeros(1, 4), 0.4), {"1.mlp_out": (4, 3)}, "gate.keys"),
        (Gate(torch.zeros(1, 3), 0.0), {"1.mlp_out": (4, 3)}, "gate.ratio"),
        (Gate(torch.zeros(1, 3), 0.4), {"1.mlp_out": (4, 3), "2.mlp_out": (4, 3)}, "one feed-forward"),
        (Gate(torch.zeros(1, 3), 0.4), {"1.q": (4, 3)}, "one feed-forward"),
        (Gate(torch.zeros(1, 3), 0.4), {}, "no change"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(gate, changes, words):
    delta = Delta({name: Change(full=torch.zeros(shape)) for name, shape in changes.items()}, 1, gate)
    with pytest.raises(InvalidBundle, match=words):
        Delta.from_tensors(delta.tensors())


def test_no_fact_at_all(tmp_path):
    loaded = load("llama")
    fit(loaded, [], method="wise").bundle.save(tmp_path / "empty")
    with okedit_cli.attach(loaded, tmp_path / "empty"):
        assert okedit_cli.generate(loaded, [(WORDS, None)], max_new_tokens=1)[0].verdict.hit is None
