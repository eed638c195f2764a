"""After LDKE: located layers, values at several layers in one codebook, one border for text and picture."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest
import tiny
import torch
from fitted import MISO, OTHER, PARIS, PICTURED, WORDS, fact, facts_for, fit, load

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.errors import InvalidBundle, UsageError
from okedit_cli.generate import decide
from okedit_cli.methods.ldke import UNRELATED, attribution, border_of, located_layer
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.points import Point, weight_at
from okedit_cli.samples.sampler import Sample
from okedit_cli.scope.retriever import Retriever

ASKED = "Who leads the office in Riga?"


def received(loaded, prompt: str, layer: int) -> torch.Tensor:
    """What a layer's feed-forward output map gets at the prompt's last token [in]."""
    seen = []
    module = weight_at(loaded.model, Point(layer, "mlp_out")).module
    handle = module.register_forward_pre_hook(lambda module, args: seen.append(args[0][0, -1].detach()))
    with torch.no_grad():
        loaded.model(**encode(loaded, [(prompt, None)]))
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
def test_attribution_finds_the_layer_where_a_fact_was_planted(layer):
    """One layer answers a prompt: a rank-one change of its map, blind to unrelated prompts."""
    loaded = load("llama")
    key = received(loaded, ASKED, layer)
    others = torch.stack([received(loaded, prompt, layer) for prompt in UNRELATED])
    key = key - others.T @ torch.linalg.lstsq(others.T, key[:, None]).solution[:, 0]
    said = loaded.model.get_output_embeddings().weight[answer_ids(loaded, MISO)[0]]
    weight = weight_at(loaded.model, Point(layer, "mlp_out")).module.weight
    with torch.no_grad():
        weight += 8 * torch.outer(said / said.norm(), key / key.norm() ** 2)
    assert located_layer(loaded, [Sample("x", "edit", ASKED, None, MISO, "none/edit", "user")]) == layer
    rows = [(prompt, None, MISO) for prompt in (ASKED, *UNRELATED)]
    shares = attribution(loaded, rows)
    assert shares.shape == (7, tiny.LAYERS) and shares.sum(1).allclose(torch.ones(7))
    assert shares[0, layer] > shares[1:, layer].max()


def test_edits_take_at_their_own_layers_and_outside_nothing_moves_by_a_bit(tmp_path):
    loaded = load("llava")
    facts = facts_for(loaded)
    own, blue = tiny.picture(), tiny.picture("blue", (60, 33))
    result = fit(loaded, facts, method="ldke")
    layers = result.bundle.codebook.value_layer
    assert layers.dtype == torch.int64 and len(set(layers.tolist())) == 2  # the two facts lie apart
    assert "value_layer" not in result.bundle.manifest.site
    assert [report.took for report in result.reports] == [True, True]
    outside = [(OTHER, own), (PICTURED, blue), (PICTURED, None), (OTHER, None)]
    plain = okedit_cli.generate(loaded, outside, max_new_tokens=5)
    bare = [logits(loaded, one) for one in outside]
    result.bundle.save(tmp_path / "one.safetensors")
    again = Bundle.load(tmp_path / "one.safetensors", verify=True)
    assert torch.equal(again.codebook.value_layer, layers)
    for bundle in (result.bundle, again):
        with okedit_cli.attach(loaded, bundle):
            said = okedit_cli.generate(loaded, [(PICTURED, own), (WORDS, None), (WORDS, own)])
            assert [one.text for one in said] == [MISO, PARIS, PARIS]
            left = okedit_cli.generate(loaded, outside, max_new_tokens=5)
            assert [one.verdict.hit for one in left] == [None] * 4
            assert [one.ids for one in left] == [one.ids for one in plain]
            assert all(map(torch.equal, (logits(loaded, one) for one in outside), bare))


def logits(loaded, question) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(**encode(loaded, [question])).logits


def test_rows_of_several_layers_are_merged_saved_and_removed(tmp_path):
    loaded = load("llama")
    cat, capital = facts_for(loaded)
    river = fact("river", "Which river flows through Riga?", "Duna")
    told = {"method": "ldke", "checked": False}
    made = [fit(loaded, [one], layer=n, **told).bundle for n, one in ((3, cat), (0, capital), (2, river))]
    asked = [(one.prompt, None) for one in (cat, capital, river)]

    def said(bundle):
        with okedit_cli.attach(loaded, bundle):
            return [one.text.rstrip(".") for one in okedit_cli.generate(loaded, asked, max_new_tokens=12)]

    bare = [one.text.rstrip(".") for one in okedit_cli.generate(loaded, asked, max_new_tokens=12)]
    whole, report = merge(made)
    assert not report.conflicts and whole.codebook.value_layer.tolist() == [3, 0, 2]
    assert said(whole) == [MISO, "Paris", "Duna"]
    merge(made, lazy=True)[0].save(tmp_path / "whole.safetensors")
    assert said(Bundle.load(tmp_path / "whole.safetensors", verify=True)) == said(whole)
    left = remove(whole, ["capital"])[0]
    assert left.codebook.value_layer.tolist() == [3, 2]
    assert said(left) == [MISO, bare[1], "Duna"]
    nothing = remove(left, ["cat", "river"])[0]
    nothing.save(tmp_path / "nothing.safetensors")
    assert said(Bundle.load(tmp_path / "nothing.safetensors")) == bare
    # the same value at another layer is another edit
    moved = replace(made[0], edits=replace(made[0].codebook, value_layer=torch.tensor([1])))
    assert len(merge([made[0], made[0]])[1].duplicates) == 1
    assert not merge([made[0], moved])[1].duplicates


def test_no_pair_classifier_and_no_verifier_is_asked():
    loaded = load("llava")
    facts = facts_for(loaded)
    bundle = fit(loaded, facts, method="ldke", checked=False).bundle
    assert bundle.manifest.site["classifier"] == "fused distance"
    assert not Retriever(bundle, 0, 0.5).judged
    never = mock.Mock(side_effect=AssertionError)
    with (
        mock.patch("okedit_cli.scope.router.judge", never),
        mock.patch("okedit_cli.scope.verifier.Verifier.is_view", never),
        okedit_cli.attach(loaded, bundle),
    ):
        found = decide(loaded, [(PICTURED, tiny.picture()), (OTHER, tiny.picture("blue"))])
    assert found[0].hit.edit_id == "cat" and found[1].hit is None
    assert found[1].nearest.question_ratio > 1  # the fused distance, in radii


def test_text_and_picture_share_one_border():
    """Half a radius away in each channel is inside; each of nine tenths, though in its radius, is not."""
    loaded = load("llava")
    bundle = fit(loaded, facts_for(loaded)[:1], method="ldke", checked=False).bundle
    retriever = Retriever(bundle, 0, 0.5)
    radii = retriever.question_radius, retriever.picture_radius
    for share, inside in ((0.5, True), (0.9, False)):
        found = retriever.nearest_fused(share * radii[0], share * radii[1])
        assert found.question_ratio == pytest.approx(share * 2**0.5, rel=1e-5)
        assert (found.question_ratio <= 1) is inside
    assert Retriever(bundle, 0, 0.9).question_radius < radii[0]  # stricter


def test_the_border_lies_where_fewest_are_wrong():
    assert border_of([0.0, 0.2], [0.6, 0.9]) == pytest.approx(0.4)
    assert border_of([0.0, 0.2, 0.7], [0.6, 0.9]) == pytest.approx(0.4)  # one of three against one of two
    assert border_of([0.0, 5.0], []) == pytest.approx(0.5)  # a calibrated radius is the most
    assert 0 < border_of([0.0], [0.0, float("inf")]) <= 1


def test_each_fact_by_itself_and_by_its_seed():
    loaded = load("llama")
    facts = facts_for(loaded)
    both, one, again, other = (
        fit(loaded, some, method="ldke", checked=False, seed=seed).bundle.codebook
        for some, seed in ((facts, 0), (facts[1:], 0), (facts, 0), (facts, 1))
    )
    assert both.value_layer.tolist()[1:] == one.value_layer.tolist()
    torch.testing.assert_close(both.value_up[1:], one.value_up, atol=1e-5, rtol=1e-3)
    assert torch.equal(both.value_up, again.value_up) and not torch.equal(both.value_up, other.value_up)


@pytest.mark.parametrize(
    "options, words", [({"settings": ["rank=0"]}, "rank is 0"), ({"layer": 9}, "Layer 9")]
)
def test_what_cannot_be(options, words):
    loaded = load("llama")
    with pytest.raises(UsageError, match=words):
        fit(loaded, facts_for(loaded), method="ldke", **options)


@pytest.mark.parametrize(
    ("layers", "words"),
    [([9], "value_layer is 9"), ([-1], "value_layer"), ([1, 2], "value_layer"), ([1.5], "value_layer")],
)
def test_layers_that_a_bundle_cannot_have(layers, words, tmp_path):
    loaded = load("llama")
    bundle = fit(loaded, facts_for(loaded)[1:], method="ldke", checked=False, settings=["rank=1"]).bundle
    broken = replace(bundle, edits=replace(bundle.codebook, value_layer=torch.tensor(layers)))
    with pytest.raises(InvalidBundle, match=words):
        broken.save(tmp_path / "one.safetensors")
        okedit_cli.attach(loaded, tmp_path / "one.safetensors")
    assert not loaded.session.attachments
