"""GRACE: a key of the last prompt token, split and expand, a value that replaces a layer's output there."""

from functools import cache

import pytest
import tiny
import torch
from fitted import PICTURED, WORDS, fact, facts_for, fit, load

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.remove import remove
from okedit_cli.errors import InvalidBundle, UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.methods.grace import APART, Entry, placed
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.points import LAST_TOKEN, Point, weight_at
from okedit_cli.models.sites import decoder_layers, mlp_of

LAYER, EPS, SAID = 1, 1e-4, "dog"
FAMILIES = ("llava", "qwen2_vl", "gpt2", "llama")
NARROW = [f"eps={EPS}", "end=false"]
# a random model of four layers hardly looks back at one token, so that its answers here are of one

pytestmark = pytest.mark.usefixtures("small_world")


@cache
def case(family):
    """(model, facts, result) of two facts that are answered with the same token."""
    loaded = load(family)
    facts = [fact(one.id, one.prompt, SAID, one.image) for one in facts_for(loaded)]
    return loaded, facts, fit(loaded, facts, method="grace", layer=LAYER, settings=NARROW)


def questions(loaded):
    own = tiny.picture() if loaded.processor else None
    inside = [(PICTURED, own), (WORDS, None)]
    return inside, [("How many people are there?", own), ("Who?", None), (WORDS + " And Spain?", None)]


def last_token(loaded, prompt, picture):
    """What the site's output map receives at the last prompt token, read here."""
    seen = []
    module = weight_at(loaded.model, Point(LAYER, "mlp_out")).module
    handle = module.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        loaded.model(**encode(loaded, [(prompt, picture)]))
    handle.remove()
    return seen[0][0, -1]


def first_token(loaded):
    return answer_ids(loaded, SAID)[:1]


def entry(place, answer="one", radius=1.0):
    return Entry(torch.tensor([place]), radius, torch.zeros(1), answer)


def test_far_edits_have_keys_and_radii_of_their_own():
    entries = []
    for place in (0.0, 2.1):
        assert placed(entries, entry(place, f"at {place}")) is entries[-1]
    assert [one.radius for one in entries] == [1.0, 1.0]


def test_another_answer_splits_both_radii():
    entries = [entry(-9.0, "far")]
    placed(entries, entry(0.0))
    placed(entries, entry(0.6, "another"))
    assert [round(float(one.key), 3) for one in entries] == [-9.0, 0.0, 0.6]
    assert entries[0].radius == 1.0 and entries[1].radius == pytest.approx(0.3 - APART)
    assert entries[2].radius == pytest.approx(0.3)


def test_the_same_answer_expands_the_nearest_radius():
    entries = []
    first = placed(entries, entry(0.0))
    assert placed(entries, entry(1.8)) is first and first.radius == pytest.approx(1.8)
    assert placed(entries, entry(0.5)) is first and first.radius == pytest.approx(1.8)  # it is inside
    assert len(entries) == 1
    placed(entries, entry(2.9))  # 2.9 > 1.8 + 1
    assert len(entries) == 2


def test_one_prompt_with_two_answers():
    """The older key keeps no radius: the newer one answers."""
    entries = [entry(0.0)]
    placed(entries, entry(0.0, "another"))
    assert [one.radius for one in entries] == [0.0, 0.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_are_the_activations_and_the_value_stands_in_the_output(family):
    loaded, _, result = case(family)
    book, site = result.bundle.codebook, result.bundle.manifest.site
    assert site["question_point"] == LAST_TOKEN and site["change"] == "replace"
    inside, _ = questions(loaded)
    for row, question in enumerate(inside):
        torch.testing.assert_close(
            book.question_keys[row], last_token(loaded, *question), atol=1e-6, rtol=1e-4
        )
    seen = []
    with okedit_cli.attach(loaded, result.bundle):
        handle = mlp_of(decoder_layers(loaded.model)[LAYER]).register_forward_hook(
            lambda module, args, output: seen.append(output.clone())
        )
        batch, length = encode(loaded, inside[1:]), encode(loaded, inside[1:])["input_ids"].shape[1]
        loaded.model.generate(**batch, max_new_tokens=3, do_sample=False, eos_token_id=None)
        handle.remove()
    outputs = [one for one in seen if one.shape[1] == length]
    assert torch.equal(outputs[-1][0, -1], book.value_bias[1])
    later = [one[0, -1] for one in seen if one.shape[1] == 1]
    assert later and not any(torch.equal(one, book.value_bias[1]) for one in later)  # replace_last


@pytest.mark.parametrize("family", FAMILIES)
def test_inside_eps_it_answers_and_outside_no_bit_changes(family, tmp_path):
    loaded, _, result = case(family)
    assert (result.bundle.codebook.question_radius == EPS).all()
    inside, outside = questions(loaded)
    result.bundle.save(tmp_path / "grace")
    read = Bundle.load(tmp_path / "grace", verify=True)
    plain = [loaded.model(**encode(loaded, [one])).logits for one in outside]
    wanted = first_token(loaded)
    for bundle in (result.bundle, read):
        with okedit_cli.attach(loaded, bundle) as attachment:
            verdicts = decide(loaded, [*inside, *outside])
            alone = [okedit_cli.generate(loaded, [one], max_new_tokens=2)[0] for one in inside]
            together = okedit_cli.generate(loaded, [*inside, *outside], max_new_tokens=2)
            assert follow(loaded, inside, [wanted] * 2) == [wanted] * 2
            for question, before in zip(outside, plain, strict=True):
                assert torch.equal(loaded.model(**encode(loaded, [question])).logits, before)
                assert attachment.verdicts[0].hit is None
        hits = [one.hit and one.hit.edit_id for one in verdicts]
        assert hits == ["cat", "capital", None, None, None]
        assert [one.verdict.hit and one.verdict.hit.edit_id for one in together] == hits
        assert [list(one.ids[:1]) for one in (*alone, *together[:2])] == [wanted] * 4
    for question, before in zip(outside, plain, strict=True):
        assert torch.equal(loaded.model(**encode(loaded, [question])).logits, before)


def test_facts_that_share_a_key_hold_a_copy_each():
    loaded = load("llama")
    facts = [fact("a", WORDS, SAID), fact("b", WORDS, "Dog."), fact("c", WORDS, "cat")]
    bundle = fit(loaded, facts[:2], method="grace", layer=LAYER, settings=NARROW).bundle
    book = bundle.codebook
    assert bundle.manifest.settings["keys"] == 1 and torch.equal(book.value_bias[0], book.value_bias[1])
    left = remove(bundle, ["a"])[0]
    with okedit_cli.attach(loaded, left):
        assert decide(loaded, [(WORDS, None)])[0].hit.edit_id == "b"
    split = fit(loaded, facts, method="grace", layer=LAYER, settings=NARROW).bundle
    assert split.manifest.settings["keys"] == 2 and split.codebook.question_radius.tolist() == [0, 0, 0]


def test_equal_seeds_give_equal_bundles_and_others_do_not():
    loaded, facts, result = case("gpt2")
    found = [
        fit(loaded, facts, method="grace", layer=LAYER, settings=NARROW, seed=seed).bundle.codebook
        for seed in (0, 1)
    ]
    assert torch.equal(found[0].value_bias, result.bundle.codebook.value_bias)
    assert not torch.equal(found[1].value_bias, found[0].value_bias)
    assert torch.equal(found[1].question_keys, found[0].question_keys)


def test_it_stands_beside_other_methods():
    loaded, facts, result = case("llama")
    other = fit(loaded, facts[1:], method="ft-llm", checked=False).bundle
    with okedit_cli.attach(loaded, [other]):
        changed = loaded.model(**encode(loaded, [("Who?", None)])).logits
        with okedit_cli.attach(loaded, result.bundle):
            assert torch.equal(loaded.model(**encode(loaded, [("Who?", None)])).logits, changed)


def test_what_is_wrong_is_told():
    loaded, facts, result = case("llama")
    with pytest.raises(UsageError, match="Layer 4 cannot carry"):
        fit(loaded, facts, method="grace", layer=4)
    with pytest.raises(UsageError, match="eps is -1"):
        fit(loaded, facts, method="grace", settings=["eps=-1"])
    with pytest.raises(InvalidBundle, match="question_keys"):
        okedit_cli.attach(load("gpt2"), _as_of(result.bundle, load("gpt2")))


def _as_of(bundle, loaded):
    """The bundle as if it had been made with another model."""
    from dataclasses import replace

    from okedit_cli.models.fingerprint import fingerprint

    return replace(bundle, manifest=replace(bundle.manifest, base=fingerprint(loaded)))


def test_no_fact_at_all(tmp_path):
    loaded = load("llama")
    fit(loaded, [], method="grace").bundle.save(tmp_path / "empty")
    with okedit_cli.attach(loaded, tmp_path / "empty"):
        assert okedit_cli.generate(loaded, [(WORDS, None)], max_new_tokens=1)[0].verdict.hit is None
