"""The published method: one key, one radius between a rephrasing and a black picture, one tuned map."""

from dataclasses import replace
from functools import cache

import pytest
import tiny
import torch
from fitted import MISO, PARIS, PICTURED, WORDS, Fitted, fact, facts_for, fit, fitted, load
from PIL import Image

import okedit_cli
from okedit_cli.bundle.lend import lent_spaces
from okedit_cli.bundle.merge import merge
from okedit_cli.errors import UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.methods.layer_copy import MOST, leading, rate_for
from okedit_cli.methods.whole_prompt import WHOLE
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.sites import decoder_layers, mlp_of

METHOD, T = "balancedit-paper", 0.8

pytestmark = pytest.mark.usefixtures("small_world")


@cache
def paper(family: str) -> Fitted:
    """The family's model with both facts as published; rephrasings that the facts themselves give."""
    loaded = load(family)
    facts = [
        replace(one, rephrases=(text,))
        for one, text in zip(facts_for(loaded), ("Who is this cat?", "Which city is it?"), strict=True)
    ]
    result = fit(loaded, facts, method=METHOD)
    return Fitted(loaded, facts, result, result.bundle)


@pytest.fixture(params=tiny.FAMILIES)
def case(request) -> Fitted:
    return paper(request.param)


def raw(case, prompt, picture=None):
    """The mean over the prompt's positions of what the last layer's feed-forward part receives, read here."""
    seen = []
    part = mlp_of(decoder_layers(case.loaded.model)[-1])
    handle = part.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        case.loaded.model(**encode(case.loaded, [(prompt, picture)]))
    handle.remove()
    return seen[0][0].double().mean(0)


def own(case):
    return tiny.picture() if case.loaded.processor else None


def expected(case):
    """(key, d_pos, d_neg, radius) of both facts by the published formula."""
    shown = own(case)
    black = Image.new("RGB", shown.size, "black") if shown else None
    negatives = [(PICTURED, black) if shown else ("?", None), ("?", None)]
    for one, picture, negative in zip(case.facts, (shown, None), negatives, strict=True):
        key = raw(case, one.prompt, picture)
        d_pos = float((raw(case, one.rephrases[0], picture) - key).norm())
        d_neg = float((raw(case, *negative) - key).norm())
        yield key, d_pos, d_neg, d_pos + T * (d_neg - d_pos)


def test_key_and_radius_are_the_formulas(case):
    book, site = case.bundle.codebook, case.bundle.manifest.site
    assert site["key_layer"] == site["value_layer"] == tiny.LAYERS - 1 and site["question_point"] == WHOLE
    assert case.bundle.manifest.method == METHOD
    assert len(book.question_keys) == 2 and len(book.picture_keys) == 0
    assert torch.isinf(book.picture_radius).all()
    for row, (key, d_pos, d_neg, radius) in enumerate(expected(case)):
        torch.testing.assert_close(book.question_keys[row].double(), key, atol=1e-5, rtol=1e-4)
        found = case.result.reports[row]
        assert (found.d_pos, found.d_neg) == (pytest.approx(d_pos, rel=1e-3), pytest.approx(d_neg, rel=1e-3))
        assert found.radius == pytest.approx(radius, rel=1e-3) == float(book.question_radius[row])
        assert ("over-reach" in found.why) == (d_pos >= d_neg) and not found.kept_out


def test_what_fires_is_what_the_formula_says(case):
    rule = list(expected(case))
    asked = [*case.questions, *(((PICTURED, Image.new("RGB", (40, 32), "black")),) if own(case) else ())]
    with okedit_cli.attach(case.loaded, [case.bundle]):
        answers = okedit_cli.generate(case.loaded, asked, max_new_tokens=1)
    fired = []
    for (prompt, picture), answer in zip(asked, answers, strict=True):
        here = raw(case, prompt, picture)
        distances = [float((here - key).norm()) for key, _, _, radius in rule]
        reach = [distance / radius for distance, (*_, radius) in zip(distances, rule, strict=True)]
        assert min(abs(one - 1) for one in reach) > 1e-3  # none of them on a border
        best = reach.index(min(reach))
        assert answer.verdict.nearest.edit_id == case.facts[best].id
        assert answer.verdict.nearest.reach == pytest.approx(reach[best], abs=1e-3)
        assert (answer.verdict.hit is not None) == (reach[best] <= 1)
        fired.append(reach[best] <= 1)
    assert any(fired)


def test_every_fact_takes(case):
    for report in case.result.reports:
        assert report.took and report.positives[1] > 0 and report.negatives[1] > 0
    settings = case.bundle.manifest.settings
    assert settings["keys"] == 1 and settings["steps"] == 50 and settings["balance"] == T
    assert settings["rank"] == case.bundle.codebook.value_down.shape[1] <= MOST


def narrow(case, share=1e-3):
    """The bundle with radii that hold nothing but the facts' own prompts."""
    book = case.bundle.codebook
    radius = torch.full_like(book.question_radius, share * float(torch.pdist(book.question_keys)))
    return replace(case.bundle, edits=replace(book, question_radius=radius))


def test_however_they_are_read_the_same_prompts_fire(case):
    bundle = narrow(case)
    plain = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=4)
    with okedit_cli.attach(case.loaded, [bundle]):
        alone, together = (
            okedit_cli.generate(case.loaded, case.questions, max_new_tokens=4, batch=size) for size in (1, 8)
        )
        verdicts = decide(case.loaded, case.questions)
    for before, one, other, verdict, hit in zip(plain, alone, together, verdicts, case.hits, strict=True):
        assert [v.hit and v.hit.edit_id for v in (one.verdict, other.verdict, verdict)] == [hit] * 3
        assert one.text == other.text == {"cat": MISO, "capital": PARIS, None: before.text}[hit]


@pytest.mark.parametrize("side", ["left", "right"])
def test_outside_not_one_bit_changes(case, side):
    for pictured in (True, False):
        pairs = [p for p in zip(case.questions, case.hits, strict=True) if (p[0][1] is not None) == pictured]
        if not pairs:
            continue
        batch = encode(case.loaded, [question for question, _ in pairs], side=side)
        with torch.no_grad():
            plain = case.loaded.model(**batch).logits
            with okedit_cli.attach(case.loaded, [narrow(case)]) as attachment:
                edited = case.loaded.model(**batch).logits
            after = case.loaded.model(**batch).logits
        assert [d.hit and d.hit.edit_id for d in attachment.verdicts] == [hit for _, hit in pairs]
        assert torch.equal(after, plain)
        for row, (_, hit) in enumerate(pairs):
            assert torch.equal(edited[row], plain[row]) == (hit is None)


def test_an_answer_behind_the_prompt_does_not_count(case):
    """Teacher forcing decides as generation does."""
    asked = [question for question, hit in zip(case.questions, case.hits, strict=True) if hit]
    ids = [answer_ids(case.loaded, words) for words in (MISO, PARIS)]
    with okedit_cli.attach(case.loaded, [narrow(case)]) as attachment:
        for size in (1, 8):
            assert follow(case.loaded, asked, ids, batch=size) == ids
        for question, answer in zip(asked, ids, strict=True):
            attachment.prompt_lengths = [encode(case.loaded, [question])["input_ids"].shape[1]]
            with torch.no_grad():
                case.loaded.model(**encode(case.loaded, [question], answers=[answer]))
            assert attachment.verdicts[0].hit is not None
            attachment.prompt_lengths = None


def test_written_and_read_merged_and_beside_others(case, tmp_path):
    case.bundle.save(tmp_path / "both.safetensors")
    read = okedit_cli.Bundle.load(tmp_path / "both.safetensors", verify=True)
    parts = [fit(case.loaded, [one], method=METHOD).bundle for one in case.facts]
    merged, report = merge(parts)
    merged.save(tmp_path / "merged.safetensors")
    whole = okedit_cli.Bundle.load(tmp_path / "merged.safetensors")
    said = []
    for bundles in ([case.bundle], [read], [fitted(case.loaded.name).bundle, read]):
        with okedit_cli.attach(case.loaded, bundles):
            asked = [question for question, hit in zip(case.questions, case.hits, strict=True) if hit]
            answers = okedit_cli.generate(case.loaded, asked)
        said.append([answer.text for answer in answers])
    assert said == [[MISO, PARIS]] * 3
    ids = [row["id"] for row in whole.manifest.facts] + report.dropped
    assert sorted(ids) == ["capital", "cat"]
    for row, found in enumerate(whole.manifest.facts):
        before = ["cat", "capital"].index(found["id"])
        assert torch.equal(whole.codebook.question_keys[row], case.bundle.codebook.question_keys[before])


def test_edits_can_be_added_to_a_bundle():
    case = paper("llava")
    with lent_spaces(case.loaded, case.bundle):
        added = fit(case.loaded, case.facts[1:], method=METHOD).bundle
    assert torch.equal(added.codebook.question_keys[0], case.bundle.codebook.question_keys[1])
    assert len(merge([narrow(replace(case, bundle=case.bundle)), added])[0]) >= 1


def test_the_layer_asked_for_and_none_that_is_not_there():
    case = paper("llama")
    bundle = fit(case.loaded, case.facts, method=METHOD, layer=1).bundle
    assert bundle.manifest.site["key_layer"] == bundle.manifest.site["value_layer"] == 1
    with pytest.raises(UsageError, match="Layer 4 cannot carry"):
        fit(case.loaded, case.facts, method=METHOD, layer=4)


def test_no_fact_at_all(tmp_path):
    case = paper("llava")
    fit(case.loaded, [], method=METHOD).bundle.save(tmp_path / "empty")
    with okedit_cli.attach(case.loaded, [okedit_cli.Bundle.load(tmp_path / "empty")]):
        [answer] = okedit_cli.generate(case.loaded, [(WORDS, None)], max_new_tokens=1)
    assert answer.verdict.hit is None


def test_a_radius_that_should_not_be_is_told_and_made(tmp_path):
    """A black picture is its own negative: nothing separates it from its rephrasing."""
    case = paper("llava")
    Image.new("RGB", (30, 30), "black").save(tmp_path / "black.png")
    result = fit(case.loaded, [fact("night", PICTURED, MISO, tmp_path / "black.png")], method=METHOD)
    assert len(result.bundle) == 1 and not result.reports[0].kept_out
    assert result.reports[0].d_neg == pytest.approx(0, abs=1e-6) and "over-reach" in result.reports[0].why


def test_leading_directions_are_the_map():
    noise = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 3, generator=noise) @ torch.randn(3, 40, generator=noise)
    down, up = leading(weight)
    assert len(down) == len(up) == 3
    x = torch.randn(5, 40, generator=noise)
    torch.testing.assert_close((x @ down.T) @ up, x @ weight, atol=1e-3, rtol=1e-3)
    assert len(leading(torch.randn(99, 99, generator=noise))[0]) == MOST
    assert leading(torch.zeros(4, 4))[0].shape == (1, 4)
    assert rate_for(4096) == 1e-4 and rate_for(1024) == pytest.approx(1.6e-3)


def test_nothing_is_held_word_for_word_as_published():
    loaded = load("gpt2")
    given = [fact("code", "What is the code?", "4471-X9", verbatim=True)]
    rows = [
        fit(loaded, given, method=name, checked=False).bundle.manifest.facts[0]
        for name in ("balancedit", "balancedit-paper")
    ]
    assert rows[0]["verbatim"] is True and "verbatim" not in rows[1]
