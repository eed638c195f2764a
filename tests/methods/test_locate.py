"""MEMIT, AlphaEdit and CoME: the solves are the published ones, edits take, and what is preserved stays."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from fitted import MISO, PICTURED, WORDS, fact, facts_for, fit, load, world
from tiny import picture

import okedit_cli
from okedit_cli.edits.delta import content
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import load_picture
from okedit_cli.methods.locate.lookup import place_of, read_to, see
from okedit_cli.methods.locate.methods import own_answer
from okedit_cli.methods.locate.moments import moments, prompts
from okedit_cli.methods.locate.solve import alphaedit_change, memit_change, null_space
from okedit_cli.models.encode import answer_ids, encode, encode_row
from okedit_cli.models.points import Point, weight_at
from okedit_cli.models.sites import decoder_layers

FAMILIES = ("llava", "qwen2_vl", "idefics3", "gpt2", "llama")
METHODS = ("memit", "alphaedit", "come")
# random models have no layers that hold facts, and are narrow
TINY = [
    "layers=1-2", "rate=0.001", "clamp=20", "prefixes=1", "decay=0", "steps=40", "end=false", "tokens=640",
]  # fmt: skip
OWN = {"memit": ["weight=1"], "come": ["weight=1"], "alphaedit": ["l2=1e-6", "nullspace=0.5"]}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def low_moment(width: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Preserved keys [width, 200] of a rank, and their moment."""
    keys = drawn(width, rank, seed=1) @ drawn(rank, 200, seed=2)
    return keys, keys @ keys.T / keys.shape[1]


def hashes(loaded) -> dict[str, str]:
    return {name: content(value) for name, value in loaded.model.state_dict().items()}


NAMELESS = "Who is it?"


def asked(loaded, prompt: str = NAMELESS):
    """A fact in words whose answer is one token, which a random model can be made to say; looked up where it
    is said, as what one token of such a model holds hardly reaches the next.
    """
    words = ("M", "the", "colour", "it", "is", "name")
    answer = next(word for word in words if len(answer_ids(loaded, word)) == 2)
    return [fact("who", prompt, answer)]


def test_memit_reaches_its_residual_and_is_the_published_form():
    keys, residuals, moment = drawn(24, 5), drawn(16, 5, seed=3), low_moment(24, 24)[1]
    reached = memit_change(keys, residuals, moment, 1e-9) @ keys
    assert torch.allclose(reached, residuals, atol=1e-5)
    published = residuals @ torch.linalg.inv(20.0 * moment + keys @ keys.T).mul(1).matmul(keys).T
    assert torch.allclose(memit_change(keys, residuals, moment, 20.0), published, atol=1e-7)


@pytest.mark.parametrize("l2", [0.1, 10.0])
def test_alphaedit_of_n_by_n_is_the_published_d_by_d(l2):
    keys, past, residuals = drawn(24, 5), drawn(24, 7, seed=4), drawn(16, 5, seed=3)
    free = null_space(low_moment(24, 9)[1], 1e-6)
    assert (free.rank, free.kept) == (9, 15)
    projector = free.basis @ free.basis.T
    system = projector @ (keys @ keys.T + past @ past.T) + l2 * torch.eye(24, dtype=torch.float64)
    published = torch.linalg.solve(system, projector @ keys @ residuals.T).T
    found = alphaedit_change(keys, residuals, past, free, l2)
    assert torch.allclose(found, published, atol=1e-10)
    none = torch.zeros(24, 0, dtype=torch.float64)
    without = alphaedit_change(keys, residuals, none, free, l2)
    assert (found @ past).norm() < 0.5 * (without @ past).norm()  # earlier edits are preserved


def test_alphaedit_leaves_preserved_keys_alone_while_new_ones_are_reached():
    preserved, moment = low_moment(24, 9)
    keys, residuals, none = drawn(24, 5), drawn(16, 5, seed=3), torch.zeros(24, 0, dtype=torch.float64)
    change = alphaedit_change(keys, residuals, none, null_space(moment, 1e-6), 1e-6)
    assert (change @ preserved).norm() < 1e-3 * (drawn(16, 24, seed=5) @ preserved).norm()
    assert torch.allclose(change @ keys, residuals, atol=1e-4)


def test_the_null_space_holds_the_share_that_it_may():
    moment = torch.diag(torch.tensor([50.0, 30, 10, 6, 3, 1], dtype=torch.float64))
    assert [null_space(moment, share).kept for share in (0.005, 0.01, 0.05, 0.1, 1.0)] == [0, 1, 2, 3, 6]
    assert null_space(1000 * moment, 0.1).kept == 3  # whatever the scale
    assert null_space(moment, 0.1).share == pytest.approx(0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_in_two_parts_is_what_the_model_says(family):
    loaded = load(family)
    cases = [(WORDS, None, "France"), ("Who?", None, None)]
    cases += [(PICTURED, picture(), None)] if loaded.processor else []
    answer = answer_ids(loaded, MISO)
    for prompt, shown, subject in cases:
        place = place_of(loaded, prompt, shown)
        assert place.subject == subject
        ids = encode_row(loaded, prompt, shown)["input_ids"][0]
        behind = loaded.tokenizer.decode(ids[len(ids) - place.tail :])
        assert not subject or subject.endswith(behind[0]) or behind.lstrip().startswith(subject)
        rows = place.prompts(2)
        reading = read_to(loaded, rows, answer, place.tail, 1)
        state = see(loaded, place, [0, 1], 2).states[0]
        assert torch.allclose(state, reading.state, atol=1e-5)
        offset = torch.linspace(-1, 1, len(state))

        def add(module, args, output, column=-place.tail - len(answer), offset=offset):
            changed = (output[0] if isinstance(output, tuple) else output).clone()
            changed[:, column] += offset
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        handle = decoder_layers(loaded.model)[1].register_forward_hook(add)
        with torch.no_grad():
            whole = loaded.model(**encode(loaded, rows, answers=[answer] * 3)).logits[:, -3:]
        handle.remove()
        assert torch.allclose(reading.logits(offset, 3), whole, atol=1e-4)


def takes(loaded, one, bundle=None) -> bool:
    """Whether the model says a fact's answer, with a bundle attached or as it is."""
    shown = one.image and load_picture(one.image)
    with okedit_cli.attach(loaded, bundle) if bundle is not None else nullcontext():
        [said] = okedit_cli.generate(loaded, [(one.prompt, shown)], max_new_tokens=1)
    return list(said.ids) == answer_ids(loaded, one.answer)[:-1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_edits_take_and_every_bit_comes_back(family, method, tmp_path):
    loaded = load(family)
    facts, before = asked(loaded), hashes(loaded)
    assert not takes(loaded, facts[0])
    result = fit(loaded, facts, method=method, settings=TINY + OWN[method], checked=False)
    assert hashes(loaded) == before
    told = result.bundle.manifest.settings
    assert told["layers"] == [1, 2] and told["tokens"][0] >= 640
    assert told["looked_up_at"] == {"who": "the last prompt token"}
    assert sorted(result.bundle.edits.changes) == ["1.mlp_out", "2.mlp_out"]
    assert all(len(change.down) == 1 for change in result.bundle.edits.changes.values())
    assert takes(loaded, facts[0], result.bundle)
    path = tmp_path / "edits.safetensors"
    result.bundle.save(path)
    assert takes(loaded, facts[0], path)
    assert hashes(loaded) == before and not takes(loaded, facts[0])
    again = fit(loaded, facts, method=method, settings=TINY + OWN[method], checked=False)
    first, second = result.bundle.edits.tensors(), again.bundle.edits.tensors()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_question_about_a_picture_is_looked_up_at_its_end():
    loaded = load("qwen2_vl")
    one = replace(facts_for(loaded)[0], prompt="What is Miso's name in Paris?", answer="M")
    assert one.image is not None
    result = fit(loaded, [one], method="memit", settings=TINY + OWN["memit"], checked=False)
    assert result.bundle.manifest.settings["looked_up_at"] == {"cat": "the last prompt token"}
    assert takes(loaded, one, result.bundle)


def test_alphaedit_moves_no_output_of_preserved_keys_while_the_edit_takes():
    loaded = load("gpt2")
    # few tokens for keys of width 128, so that there is a null space
    few = [one for one in TINY if not one.startswith(("tokens", "layers"))]
    given = [*few, "tokens=10", "nullspace=1e-9", "l2=1e-9", "layers=1"]
    bundle = fit(loaded, asked(loaded), method="alphaedit", settings=given, checked=False).bundle
    assert takes(loaded, asked(loaded)[0], bundle)
    told = bundle.manifest.settings
    assert told["kept"][0] > 0 and told["rank"][0] < 128
    weight, keys = weight_at(loaded.model, Point(1, "mlp_out")), []
    handle = weight.module.register_forward_pre_hook(lambda module, args: keys.append(args[0]))
    with torch.no_grad(), world():
        loaded.model(**encode(loaded, [(text, None) for text in prompts(loaded, 10)]))
    handle.remove()
    change = bundle.edits.changes["1.mlp_out"].whole()
    moved = (keys[0] @ change.T).norm() / (keys[0] @ weight.matrix().T).norm()
    assert moved < 1e-3


def likelihood(loaded, ids) -> float:
    with torch.no_grad():
        given = encode(loaded, [(NAMELESS, None)], answers=[ids])
        said = loaded.model(**given).logits[0, -len(ids) - 1 : -1]
    return float(said.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).mean())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_come_leaves_less_of_the_old_answer_than_memit(family):
    loaded, said = load(family), {}
    old = own_answer(loaded, NAMELESS, None)
    for method in ("memit", "come"):
        given = {"method": method, "settings": TINY + OWN[method], "checked": False}
        bundle = fit(loaded, asked(loaded), **given).bundle
        assert takes(loaded, asked(loaded)[0], bundle)
        with okedit_cli.attach(loaded, bundle):
            said[method] = likelihood(loaded, old[:1])
    assert said["come"] < said["memit"] < likelihood(loaded, old[:1])


def test_facts_are_written_one_after_another_and_later_ones_keep_earlier_ones():
    loaded = load("llama")
    first, second = asked(loaded)[0], fact("how", "How are you today?", "C")
    given = {"method": "alphaedit", "settings": [*TINY, *OWN["alphaedit"], "batch=1"], "checked": False}
    both = fit(loaded, [first, second], **given).bundle
    assert len(both) == 2
    assert takes(loaded, first, both) and takes(loaded, second, both)
    alone = fit(loaded, [second], **given).bundle
    assert takes(loaded, second, alone) and not takes(loaded, first, alone)


def test_moments_are_kept_by_content_and_never_trusted_if_malformed(tmp_path, monkeypatch):
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path))
    loaded = load("llama")
    first = moments(loaded, [1, 2], 300)
    files = sorted((tmp_path / "moments").iterdir())
    assert len(files) == 2 and first[1].tokens >= 300 and not list((tmp_path / "moments").glob(".tmp*"))
    whole = files[0].read_bytes()
    told = []
    second = moments(loaded, [1, 2], 300, lambda *what: told.append(what))
    assert not told and all(torch.equal(first[n].matrix, second[n].matrix) for n in (1, 2))
    wrong = [whole[: len(whole) // 2], b"", b"x" * 100, files[1].read_bytes()]
    for bad in wrong:  # cut short, empty, anything, another layer's
        files[0].write_bytes(bad)
        third = moments(loaded, [1, 2], 300)
        assert all(torch.equal(first[n].matrix, third[n].matrix) for n in (1, 2))
        assert files[0].read_bytes() == whole
    with torch.no_grad():
        weight_at(loaded.model, Point(0, "mlp_out")).tensor.mul_(1.5)
    loaded.cache.pop("fingerprint")
    other = moments(loaded, [1], 300)
    assert len(list((tmp_path / "moments").iterdir())) == 3
    assert not torch.equal(other[1].matrix, first[1].matrix)


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("memit", "layers=9", "layers has 9, expected 0 to 3"),
        ("alphaedit", "nullspace=0", "nullspace is 0.0, expected more than 0"),
        ("alphaedit", "nullspace=1e-12", "no direction of layer 0 is free"),
        ("come", "share=2", "share is 2.0, expected 0 to 1"),
    ],
)
def test_settings_that_make_no_sense(method, given, words):
    loaded = load("llama")
    with pytest.raises(UsageError, match=words):
        fit(loaded, asked(loaded), method=method, settings=[given])
