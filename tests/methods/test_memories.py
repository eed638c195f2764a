"""IKE and SCR on tiny models: what stands before a question, who refuses it, and beside what it attaches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import tiny
import torch
from fitted import OTHER, PARIS, PICTURED, WORDS, facts_for, fit, fitted, load

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.edits.memory import put
from okedit_cli.errors import InvalidBundle, UsageError
from okedit_cli.generate import decide, follow
from okedit_cli.methods.demonstrations import demonstrations
from okedit_cli.models.encode import encode

FAMILIES = ("llava", "qwen2_vl", "gpt2")


@pytest.fixture(scope="module", params=FAMILIES)
def ike(request):
    loaded = load(request.param)
    return loaded, fit(loaded, facts_for(loaded), method="ike").bundle


@pytest.fixture(scope="module")
def llava():
    return load("llava")


def asked_of(loaded):
    picture = tiny.picture() if loaded.processor else None
    return [(PICTURED, picture), (WORDS, None), ("Who?", None), (OTHER, picture)]


def test_ike_is_the_base_model_with_the_fact_before_the_question(ike, tmp_path):
    loaded, bundle = ike
    questions = asked_of(loaded)
    facts, site = bundle.manifest.facts, bundle.manifest.site
    plain = okedit_cli.generate(loaded, questions)
    path = tmp_path / "ike.safetensors"
    bundle.save(path)
    assert Bundle.load(path, verify=True).edits.kind == "memory"
    with okedit_cli.attach(loaded, path) as attachment:
        answers = okedit_cli.generate(loaded, questions)
        alone = [okedit_cli.generate(loaded, [one])[0] for one in questions]
        assert [v.hit.row for v in decide(loaded, questions)] == [a.verdict.hit.row for a in answers]
        okedit_cli.generate(loaded, questions[1:3])
        assert len(attachment.verdicts) == 2
        with attachment.aside():
            assert [one.ids for one in okedit_cli.generate(loaded, questions)] == [a.ids for a in plain]
    assert [one.verdict.hit.edit_id for one in answers[:2]] == ["cat", "capital"]
    wanted = [
        (put(site, facts[one.verdict.hit.row], prompt), picture)
        for one, (prompt, picture) in zip(answers, questions, strict=True)
    ]
    told = okedit_cli.generate(loaded, wanted)
    assert [one.ids for one in answers] == [one.ids for one in told]
    assert [one.text for one in alone] == [one.text for one in told]
    assert [one.ids for one in okedit_cli.generate(loaded, questions)] == [one.ids for one in plain]


def test_teacher_forcing_goes_by_the_same_prompts(ike):
    loaded, bundle = ike
    questions = asked_of(loaded)[:2]
    ids = [one.ids for one in okedit_cli.generate(loaded, questions, max_new_tokens=4)]
    with okedit_cli.attach(loaded, bundle):
        own = [one.ids for one in okedit_cli.generate(loaded, questions, max_new_tokens=4)]
        assert [tuple(one) for one in follow(loaded, questions, own)] == own
    assert [tuple(one) for one in follow(loaded, questions, ids)] == ids


def test_the_users_own_generate_is_refused_in_words(ike):
    loaded, bundle = ike
    inputs = encode(loaded, asked_of(loaded)[1:2])
    before = loaded.model.generate(**inputs, max_new_tokens=3)
    with okedit_cli.attach(loaded, bundle):
        with pytest.raises(UsageError, match="text memory"):
            loaded.model.generate(**inputs, max_new_tokens=3)
        with pytest.raises(UsageError, match="text memory"):
            loaded.model(**inputs)
    assert torch.equal(loaded.model.generate(**inputs, max_new_tokens=3), before)


def test_demonstrations_are_copy_update_and_retain_and_as_many_as_told(llava):
    counts = {len(set(demonstrations(n))): n for n in (0, 1, 8, 32)}
    assert counts == {n: n for n in counts} and demonstrations(8) == demonstrations(32)[-8:]
    bundle = fit(llava, facts_for(llava), method="ike", settings=["k=2"], checked=False).bundle
    assert bundle.manifest.site["demonstrations"] == demonstrations(2)
    again = fit(llava, facts_for(llava), method="ike", settings=["k=2"], checked=False).bundle
    pairs = zip(bundle.tensors().values(), again.tensors().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(UsageError, match="k is 33"):
        fit(llava, facts_for(llava), method="ike", settings=["k=33"])
    with pytest.raises(UsageError, match="Fact cat cannot be put before its question: .* reads at most 512"):
        fit(llava, facts_for(llava), method="ike", settings=["k=32"])


@pytest.mark.parametrize("gate", ["words", "likelihood"])
def test_scr_asks_as_it_was_where_nothing_is_confirmed(llava, gate, monkeypatch):
    questions = asked_of(llava)
    bundle = fit(llava, facts_for(llava), method="scr", settings=[f"gate={gate}"], checked=False).bundle
    plain = okedit_cli.generate(llava, questions)
    with okedit_cli.attach(llava, bundle) as attachment:
        assert attachment.session.gated
        okedit_cli.generate(llava, questions)  # whatever a random model confirms
        refusing(monkeypatch)
        answers = okedit_cli.generate(llava, questions)
        verdicts = decide(llava, questions)
    assert [one.ids for one in answers] == [one.ids for one in plain]
    for verdict in (*verdicts, *(one.verdict for one in answers)):
        assert verdict.hit is None and "does not confirm" in verdict.rejection


def refusing(monkeypatch, but: str = "") -> None:
    """No fact is confirmed by either gate, but for questions that hold a text."""
    from okedit_cli.edits import memory

    def gate(rows, facts, questions, base):
        pairs = zip(rows, questions, strict=True)
        return [some[0] if but and but in question and some else None for some, question in pairs]

    monkeypatch.setattr(memory, "confirmed_by_words", gate)
    monkeypatch.setattr(memory, "confirmed_by_likelihood", gate)


def test_what_scr_confirms_is_told_and_nothing_else(llava, monkeypatch):
    questions = asked_of(llava)
    plain = okedit_cli.generate(llava, questions)
    refusing(monkeypatch, "capital")
    for form in ("context", "bare"):
        bundle = fit(llava, facts_for(llava), method="scr", settings=[f"form={form}"]).bundle
        with okedit_cli.attach(llava, bundle):
            answers = okedit_cli.generate(llava, questions)
        prompt = put(bundle.manifest.site, bundle.manifest.facts[1], WORDS)
        assert answers[1].ids == okedit_cli.generate(llava, [(prompt, None)])[0].ids
        assert answers[1].verdict.hit.edit_id == "capital"
        for n in (0, 2, 3):
            assert answers[n].ids == plain[n].ids and answers[n].verdict.hit is None


def test_a_codebooks_hit_wins_over_a_memory_whichever_is_newer():
    book = fitted("llava")
    loaded, facts = book.loaded, facts_for(book.loaded)
    capital = replace(facts[1], answer="Lyon.")
    memory = fit(loaded, [capital], method="ike", checked=False).bundle
    questions = [(WORDS, None), ("Who?", None)]
    prompt = put(memory.manifest.site, memory.manifest.facts[0], "Who?")
    [told] = okedit_cli.generate(loaded, [(prompt, None)])
    for bundles in ([book.bundle, memory], [memory, book.bundle]):
        with okedit_cli.attach(loaded, bundles):
            answers = okedit_cli.generate(loaded, questions)
            verdicts = decide(loaded, questions)
        assert answers[0].text == PARIS and answers[1].ids == told.ids
        for verdict, other in zip(verdicts, (one.verdict for one in answers), strict=True):
            assert verdict.hit == other.hit
        assert [bundles[one.hit.number] is memory for one in verdicts] == [False, True]


def test_of_memories_the_newest_and_beside_a_delta(llava):
    facts = facts_for(llava)
    old = fit(llava, [replace(facts[1], answer="Lyon.")], method="ike", checked=False).bundle
    new = fit(llava, [replace(facts[1], answer="Nice.")], method="ike", checked=False).bundle
    delta = fit(llava, facts[1:], method="lora", settings=["steps=3"], checked=False).bundle
    prompt = put(new.manifest.site, new.manifest.facts[0], WORDS)
    with okedit_cli.attach(llava, delta):
        [told] = okedit_cli.generate(llava, [(prompt, None)])
    with okedit_cli.attach(llava, [old, new]), okedit_cli.attach(llava, delta):
        [answer] = okedit_cli.generate(llava, [(WORDS, None)])
        assert answer.ids == told.ids and answer.verdict.hit.number == 1
    [plain] = okedit_cli.generate(llava, [(prompt, None)])
    assert plain.verdict is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"top_k": 0}, "top_k"),
        ({"form": "other"}, "form"),
        ({"demonstrations": "x"}, "demonstrations"),
        ({"demonstrations": ["see <image>"]}, "a demonstration has <image>"),
    ],
)
def test_a_site_that_okedit_does_not_write_is_not_attached(llava, change, words):
    bundle = fit(llava, facts_for(llava), method="ike", checked=False).bundle
    bundle.manifest.site = bundle.manifest.site | change
    with pytest.raises(InvalidBundle, match=words):
        okedit_cli.attach(llava, bundle)


def test_a_fact_of_a_strangers_bundle_with_a_control_token_is_not_attached(llava):
    bundle = fit(llava, facts_for(llava), method="ike", checked=False).bundle
    bundle.manifest.facts[1] = bundle.manifest.facts[1] | {"answer": "see <image>"}
    with pytest.raises(InvalidBundle, match="fact 'capital' has <image>"):
        okedit_cli.attach(llava, bundle)


def test_threads_get_their_own_answers(llava):
    bundle = fit(llava, facts_for(llava), method="ike", checked=False).bundle
    questions = asked_of(llava)
    with okedit_cli.attach(llava, bundle) as attachment, ThreadPoolExecutor(2) as pool:

        def ask(question):
            [answer] = okedit_cli.generate(llava, [question], max_new_tokens=6)
            assert attachment.verdicts == [answer.verdict]
            return answer.ids, answer.verdict.hit.edit_id

        alone = [ask(question) for question in questions]
        assert list(pool.map(ask, questions * 4)) == alone * 4
