"""Fitting values: the cut-down run is the whole model's, leaves no trace, and teaches the answer."""

from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, PARIS, PICTURED, WORDS, fitted

from okedit_cli.methods import values
from okedit_cli.methods.values import RANK, fit_values
from okedit_cli.models.decode import go_on
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.prefixes import forget_prefixes
from okedit_cli.models.reading import read
from okedit_cli.models.sites import decoder_layers, hidden_size, mlp_of
from okedit_cli.models.suffix import read_prompts, run_suffix
from okedit_cli.samples.sampler import Sample

LAYER = 2

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(params=tiny.FAMILIES)
def loaded(request):
    return fitted(request.param).loaded


def suffixes(loaded):
    """(questions, answers, Suffix) with pictures where the family has them, and without, of other sizes."""
    kinds = [[("Who is this cat?", None), (WORDS, None), ("Hi", None)]]
    if loaded.processor is not None:
        shown = [tiny.picture("red", size) for size in ((40, 32), (90, 30))]
        kinds.insert(0, [(PICTURED, shown[0]), ("What is in this picture?", shown[1])])
    for questions in kinds:
        answers = [answer_ids(loaded, words) for words in ("A dog", PARIS, "12")][: len(questions)]
        yield questions, answers, read_prompts(loaded, questions, answers, LAYER)


def change(x):
    return 0.5 * x.roll(1, -1) + 0.1


def whole(loaded, questions, answers):
    """Logits of each row's answer part in one plain pass, changed from the prompt's last token on."""
    lengths = encode(loaded, questions)["attention_mask"].sum(1).tolist()
    batch = encode(loaded, questions, answers=answers)
    columns = [
        mask.nonzero()[n - 1 : -1, 0] for mask, n in zip(batch["attention_mask"], lengths, strict=True)
    ]

    def add(module, args, output):
        output = output.clone()
        for row, where in enumerate(columns):
            output[row, where[0] :] += change(args[0][row, where[0] :])
        return output

    with torch.no_grad():
        plain = loaded.model(**batch).logits
        handle = mlp_of(decoder_layers(loaded.model)[LAYER]).register_forward_hook(add)
        changed = loaded.model(**batch).logits
        handle.remove()
    return [(plain[row, where], changed[row, where]) for row, where in enumerate(columns)]


def test_the_cut_down_run_is_the_whole_models(loaded):
    kinds = list(suffixes(loaded))
    for questions, answers, suffix in [*kinds, kinds[0]]:  # the first again, behind another batch
        with torch.no_grad():
            unchanged = run_suffix(loaded, suffix, torch.zeros_like)
            changed = run_suffix(loaded, suffix, change)
            assert torch.equal(run_suffix(loaded, suffix, torch.zeros_like), unchanged)
        torch.testing.assert_close(unchanged, suffix.logits, atol=1e-5, rtol=1e-4)
        for row, (plain, edited) in enumerate(whole(loaded, questions, answers)):
            torch.testing.assert_close(unchanged[row, : len(plain)], plain, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(changed[row, : len(edited)], edited, atol=1e-4, rtol=1e-4)
            assert suffix.targets[row][suffix.targets[row] != -100].tolist() == answers[row]


def test_hooks_of_others_act_on_what_stands_in_for_the_sites_layer(loaded):
    site, calls = decoder_layers(loaded.model)[LAYER], []
    handle = mlp_of(site).register_forward_hook(lambda *about: calls.append(1))
    shift = site.register_forward_hook(
        lambda module, args, output: (output[0] + 1, *output[1:]) if isinstance(output, tuple) else output + 1
    )
    forget_prefixes(loaded)
    *_, (questions, answers, suffix) = suffixes(loaded)
    with torch.no_grad():
        read = len(calls)
        changed = run_suffix(loaded, suffix, change)
        assert len(calls) == read  # the layer's own work is not done again
        for row, (_, edited) in enumerate(whole(loaded, questions, answers)):
            torch.testing.assert_close(changed[row, : len(edited)], edited, atol=1e-4, rtol=1e-4)
    handle.remove()
    shift.remove()
    forget_prefixes(loaded)


def test_a_prompt_of_one_token():
    loaded = fitted("gpt2").loaded
    word = next(w for w in "abc" if len(loaded.tokenizer(w)["input_ids"]) == 1)
    questions, answers = [(word, None)], [answer_ids(loaded, MISO)]
    suffix = read_prompts(loaded, questions, answers, LAYER)
    with torch.no_grad():
        changed = run_suffix(loaded, suffix, change)
    torch.testing.assert_close(changed[0], whole(loaded, questions, answers)[0][1], atol=1e-4, rtol=1e-4)


def test_layers_are_their_own_again(loaded):
    before = [dict(layer.__dict__) for layer in decoder_layers(loaded.model)]
    *_, (_, _, suffix) = suffixes(loaded)

    def fails(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_suffix(loaded, suffix, fails)
    for layer, own in zip(decoder_layers(loaded.model), before, strict=True):
        assert layer.__dict__.keys() == own.keys() and not layer._forward_pre_hooks
        assert not mlp_of(layer)._forward_hooks


def samples_of(loaded, answer):
    own = tiny.picture() if loaded.processor else None
    edit = Sample("cat", "edit", PICTURED, own, answer, "edit/edit", "user")
    kept = Sample("cat", "negative", "Is this a dog?", own, None, "edit/other", "bank")
    return [edit, Sample("cat", "positive", "Who is this cat?", own, answer, "edit/rephrase", "user"), kept]


def test_values_teach_the_answer(loaded, monkeypatch):
    monkeypatch.setattr(values, "ROWS", 2 * values.POSITIVES)  # two facts at a time: the third is by itself
    facts = [samples_of(loaded, answer) for answer in (MISO, PARIS, "A dog")]
    told = []
    found, seconds = fit_values(loaded, facts, LAYER, apart=False, done=told.append)
    again, _ = fit_values(loaded, facts, LAYER, apart=False)
    assert told == [2, 3] and len(seconds) == 3
    assert torch.equal(found.up, again.up) and torch.equal(found.down, again.down)
    assert torch.equal(found.bias, again.bias)
    for number, fact in enumerate(facts):
        own = [tensor[number : number + 1] for tensor in (found.down, found.up, found.bias)]
        for sample in fact[:2]:
            suffix = read_prompts(
                loaded, [(sample.prompt, sample.picture)], [answer_ids(loaded, sample.target)], LAYER
            )
            with torch.no_grad():
                logits = run_suffix(loaded, suffix, lambda x, own=own: values.change_rows(x, *own))
            assert torch.equal(logits.argmax(-1), suffix.targets)


def test_values_come_in_the_order_of_their_facts(monkeypatch):
    """Though answers of about one length are fitted together."""
    loaded = fitted("gpt2").loaded
    monkeypatch.setattr(values, "ROWS", 1)  # each by itself
    answers = ("a very long answer of many words", "no", "three words here")
    facts = [[Sample("a", "edit", WORDS, None, answer, "none/edit", "user")] for answer in answers]
    found, seconds = fit_values(loaded, facts, LAYER)
    assert len(seconds) == 3 and min(seconds) > 0
    for number, fact in enumerate(facts):
        alone, _ = fit_values(loaded, [fact], LAYER)
        for name in ("down", "up", "bias"):
            assert torch.equal(getattr(found, name)[number], getattr(alone, name)[0])


def test_no_fact_has_no_value():
    loaded = fitted("llama").loaded
    found, seconds = fit_values(loaded, [], LAYER)
    width = hidden_size(loaded.model)
    assert found.up.shape == found.down.shape == (0, RANK, width) and found.bias.shape == (0, width)
    assert seconds == []


def test_some_rows_of_a_suffix_say_what_they_said_among_all(loaded):
    """And the suffix that they were taken from goes on as it was."""
    for _, _, suffix in suffixes(loaded):
        with torch.no_grad():
            whole_ = run_suffix(loaded, suffix, change)
            for chosen in ([0], [len(suffix.targets) - 1], [len(suffix.targets) - 1, 0]):
                part = suffix.rows(torch.tensor(chosen))
                found = run_suffix(loaded, part, change)
                there = part.targets != -100
                torch.testing.assert_close(found[there], whole_[chosen][there], atol=1e-5, rtol=1e-4)
                assert torch.equal(part.targets, suffix.targets[chosen])
            assert torch.equal(run_suffix(loaded, suffix, change), whole_)


def test_a_fact_that_is_done_leaves_and_the_others_go_on(monkeypatch):
    loaded = fitted("llava").loaded
    # what the model would say anyway is learned at once, the other only in the steps that are left
    [easy] = go_on(loaded, read(loaded, [(PICTURED, tiny.picture())]), 2, ended=False)
    facts = [samples_of(loaded, loaded.tokenizer.decode(easy)), samples_of(loaded, "A very long answer")]
    left, real = [], values.still_running

    def watched(running, *rest):
        left.append(running.tolist())
        return real(running, *rest)

    monkeypatch.setattr(values, "still_running", watched)
    monkeypatch.setattr(values, "LEAST", 1)
    for enough in (0.005, 0.5, 2.0):
        monkeypatch.setattr(values, "ENOUGH", enough)
        fit_values(loaded, facts, LAYER, apart=False)
    assert [True, False] in left or [False, True] in left


def test_wordings_come_before_views(loaded):
    """Of ten positives five and more are wordings about the edit's own picture, each another one."""
    own, other = object(), object()
    rows = [Sample("a", "edit", "?", own, "x", "edit/edit", "user")]
    rows += [Sample("a", "positive", f"wording {n}", own, "x", "edit/rephrase", "template") for n in range(6)]
    rows += [Sample("a", "positive", "?", other, "x", "view/edit", "transform") for _ in range(4)]
    rows += [Sample("a", "positive", f"both {n}", other, "x", "view/rephrase", "transform") for n in range(2)]
    chosen = values.fitted_samples(rows)
    assert len(chosen) == values.POSITIVES and chosen[0] is rows[0]
    assert len({s.prompt for s in chosen}) >= 7
    assert {s.cell for s in chosen[:-1]} == {s.cell for s in chosen}
    assert sum(s.origin == "transform" for s in chosen) == values.POSITIVES - 7  # there was room
    more = [replace(rows[1], prompt=f"wording {n}") for n in range(6, 9)]
    assert sum(s.origin == "transform" for s in values.fitted_samples([*rows, *more])) == values.VIEWS
    assert {s.cell for s in chosen} == {"edit/edit", "edit/rephrase", "view/edit", "view/rephrase"}
