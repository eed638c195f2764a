"""From facts to a bundle and back: what was fitted is what is saved, and the base model stays as it was."""

import hashlib

import pytest
import tiny
import torch
from fitted import PICTURED, WORDS, fact, facts_for, fit, fitted, load, with_radius

import okedit_cli
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import load_picture
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.memory import keeping
from okedit_cli.samples.sampler import Sampler

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(params=tiny.FAMILIES)
def case(request):
    return fitted(request.param)


def digest(model):
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def test_every_fact_takes(case):
    for report, given in zip(case.result.reports, case.facts, strict=True):
        assert report.id == given.id and report.took and not report.kept_out
        assert report.positives[1] > 0 and report.negatives[1] > 0
        assert report.positives[0] >= report.positives[1] - 1
        assert report.d_pos >= 0 and report.seconds > 0
    site = case.result.bundle.manifest.site
    assert site["key_layer"] < 0 <= site["value_layer"] < tiny.LAYERS
    assert [row["id"] for row in case.result.bundle.manifest.facts] == ["cat", "capital"]


def test_facts_may_be_a_file_and_bundles_a_path(tmp_path):
    loaded, path = fitted("gpt2").loaded, tmp_path / "facts.yaml"
    path.write_text(f"version: 1\nfacts: [{{id: capital, prompt: {WORDS}, answer: Paris}}]\n")
    found = [fit(loaded, given, checked=False) for given in (path, str(path), okedit_cli.load_facts(path))]
    assert [[row["id"] for row in one.bundle.manifest.facts] for one in found] == [["capital"]] * 3
    found[0].bundle.save(tmp_path / "x.safetensors")
    for given in (tmp_path / "x.safetensors", str(tmp_path / "x.safetensors"), found[0].bundle):
        with okedit_cli.attach(loaded, given) as attachment:
            assert [len(bundle) for bundle in attachment.bundles] == [1]
    with pytest.raises(UsageError, match="int is no bundle"):
        okedit_cli.attach(loaded, 1)
    with pytest.raises(UsageError, match="str is no fact"):
        fit(loaded, ["facts.yaml"])


def test_written_and_read_it_gives_the_same_answers(case, tmp_path):
    case.result.bundle.save(tmp_path / "facts.safetensors")
    read = okedit_cli.Bundle.load(tmp_path / "facts.safetensors", verify=True)
    answers = []
    for bundle in (case.result.bundle, read):
        with okedit_cli.attach(case.loaded, [bundle]):
            found = okedit_cli.generate(case.loaded, case.questions, max_new_tokens=4)
        answers.append([(a.text, a.verdict) for a in found])
    assert answers[0] == answers[1]
    assert any(verdict.hit for _, verdict in answers[0])


@pytest.mark.parametrize("family", ["llava", "gpt2"])
def test_the_same_facts_give_the_same_bytes_and_the_model_stays(family, tmp_path):
    files = []
    for name in ("one", "two"):
        loaded = load(family)  # opened anew: nothing may hang on what was computed before
        # transformers puts hooks of its own on a picture tower that runs for the first time
        okedit_cli.generate(loaded, fitted(family).questions[:1], max_new_tokens=1)
        before, hooks = digest(loaded.model), _hooks(loaded.model)
        fit(loaded, facts_for(loaded)).bundle.save(tmp_path / name)
        assert digest(loaded.model) == before and _hooks(loaded.model) == hooks
        assert all(weight.grad is None for weight in loaded.model.parameters())
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def _hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_no_fact_at_all(tmp_path):
    case = fitted("llava")
    result = fit(case.loaded, [])
    assert result.reports == [] and len(result.bundle) == 0
    result.bundle.save(tmp_path / "empty")
    with okedit_cli.attach(case.loaded, [okedit_cli.Bundle.load(tmp_path / "empty"), case.bundle]):
        answer = okedit_cli.generate(case.loaded, [(WORDS, None)])[0]
    assert answer.verdict.hit.number == 1


def test_a_fact_without_a_radius_is_kept_out_unless_forced(monkeypatch):
    from okedit_cli.methods import balancedit
    from okedit_cli.methods.base import Scope

    real = balancedit.judged
    monkeypatch.setattr(
        balancedit, "judged", lambda *a: Scope(real(*a).channel, 2.0, 1.0, 0.0, "this fact will over-reach")
    )
    case = fitted("llama")
    kept_out = okedit_cli.fit(case.loaded, case.facts)
    assert len(kept_out.bundle) == 0
    assert all(report.kept_out and not report.took for report in kept_out.reports)
    assert all("over-reach" in report.why for report in kept_out.reports)
    forced = okedit_cli.fit(case.loaded, case.facts[1:], force=True)
    assert len(forced.bundle) == 1 and forced.reports[0].took and "over-reach" in forced.reports[0].why


def test_a_text_model_refuses_a_fact_with_a_picture():
    case = fitted("gpt2")
    pictured = fact("cat", PICTURED, "Miso", facts_for(fitted("llava").loaded)[0].image)
    with pytest.raises(UsageError, match="cat has a picture"):
        fit(case.loaded, [pictured])


def test_what_cannot_be_asked_for():
    case = fitted("gpt2")
    with pytest.raises(UsageError, match="no method 'rome'"):
        fit(case.loaded, case.facts, method="rome")
    with pytest.raises(UsageError, match="Layer 4 cannot carry"):
        fit(case.loaded, case.facts, layer=4)


def test_the_layer_asked_for_carries_the_values():
    case = fitted("llama")
    result = fit(case.loaded, case.facts[1:], layer=3)
    assert result.bundle.manifest.site["value_layer"] == 3 and result.reports[0].took


def test_unchecked_the_same_bundle_and_reports_of_the_scopes():
    case = fitted("llama")
    whole, quick = (fit(case.loaded, case.facts, checked=checked) for checked in (True, False))
    for one, other in zip(whole.reports, quick.reports, strict=True):
        assert (one.id, one.d_pos, one.d_neg, one.radius, one.channel, one.kept_out) == (
            other.id, other.d_pos, other.d_neg, other.radius, other.channel, other.kept_out
        )  # fmt: skip
        assert one.took and not other.took and other.positives == other.negatives == (0, 0)
    books = [result.bundle.codebook.tensors() for result in (whole, quick)]
    assert all(torch.equal(books[0][name], books[1][name]) for name in books[0])
    assert all("report" in fact for fact in whole.bundle.manifest.facts)
    assert not any("report" in fact for fact in quick.bundle.manifest.facts)


def test_strictness_is_kept_in_the_bundle():
    case = fitted("llama")
    result = fit(case.loaded, case.facts[1:], strictness=1.0, checked=False)
    assert result.bundle.manifest.settings["strictness"] == 1.0
    assert "strictness" not in case.result.bundle.manifest.settings


def test_progress_is_told_to_the_end_and_what_is_attached_has_no_part_in_it():
    case, told = fitted("llama"), {}
    with okedit_cli.attach(case.loaded, [with_radius(case.result.bundle, 1.0)]) as attachment:
        again = fit(
            case.loaded, case.facts, progress=lambda stage, done, total: told.update({stage: (done, total)})
        )
        assert case.loaded.session.attachments == [attachment]
    assert torch.equal(again.bundle.codebook.value_bias, case.result.bundle.codebook.value_bias)
    assert told["fitting facts"] == told["checking facts"] == (2, 2)


def test_facts_that_are_fitted_in_parts_have_the_scopes_that_they_have_together(monkeypatch):
    loaded = load("llava")
    whole = fit(loaded, facts_for(loaded), checked=False).bundle
    monkeypatch.setattr("okedit_cli.methods.balancedit.TOGETHER", 1)
    parts = fit(loaded, facts_for(loaded), checked=False).bundle
    assert [row["id"] for row in parts.manifest.facts] == [row["id"] for row in whole.manifest.facts]
    for name in ("picture_keys", "picture_owner", "question_keys", "question_owner"):
        torch.testing.assert_close(getattr(parts.codebook, name), getattr(whole.codebook, name))
    torch.testing.assert_close(parts.codebook.question_radius, whole.codebook.question_radius)
    assert parts.codebook.value_down.shape == whole.codebook.value_down.shape


def test_what_was_needed_to_fit_is_forgotten():
    """Views, and what was read of them, are many; where somebody will ask again, what a fact's own picture
    looks like stays.
    """
    loaded = load("llava")
    facts = facts_for(loaded)
    with keeping(loaded):
        result = fit(loaded, facts)
        known = {look.picture.tobytes() for look in loaded.cache["looks"].in_order()}
    assert all(report.took for report in result.reports)
    assert not any(loaded.cache.get(name) for name in ("looks", "prefixes", "drafts", "noted"))
    views = [s.picture for s in Sampler(facts).of(facts[0]) if s.origin == "transform"]
    assert views and not known & {view.tobytes() for view in views}
    assert load_picture(facts[0].image).tobytes() in known


LONG = (
    "Every visitor signs the book at the front desk, takes a badge with a number on it, leaves any large "
    "bags with the guard, and walks up to the second floor. Nobody is let in without one."
)


@pytest.mark.parametrize("family", ["llava", "gpt2"])
def test_long_answers_and_codes_take_and_are_said_word_for_word(family, tmp_path):
    loaded = load(family)
    facts = [
        fact("rule", "What is the office rule?", LONG),
        fact("serial", "What is the serial number of the pump?", "4471-X9-0082"),
    ]
    result = fit(loaded, facts)
    assert [(one.took, one.why) for one in result.reports] == [(True, ""), (True, "")]
    result.bundle.save(tmp_path / "b.safetensors")
    with okedit_cli.attach(loaded, tmp_path / "b.safetensors"):
        for one in facts:
            assert okedit_cli.generate(loaded, [(one.prompt, None)], max_new_tokens=250)[0].text == one.answer


def test_an_answer_that_is_not_held_and_breaks_off_says_how_far_it_came():
    loaded = load("llama")
    given = fact("rule", "What is the rule?", " ".join(f"word{n}" for n in range(0, 90, 3)), verbatim=False)
    [report] = fit(loaded, [given], without=("rank", "places")).reports  # too little to say it with
    assert not report.took and f"of the answer's {len(answer_ids(loaded, given.answer))} tokens" in report.why


def test_an_answer_that_the_model_cannot_read_is_told():
    loaded = load("gpt2")
    with pytest.raises(UsageError, match="prompt with its answer has .* reads at most"):
        fit(loaded, [fact("rule", "What is the rule?", "a b c d " * 200)])
