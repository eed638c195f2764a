"""LoRA: adapters on q and v alone, of a rank, that take, and that leave no trace once detached."""

from __future__ import annotations

import pytest
import torch
from fitted import MISO, PICTURED, facts_for, fit, load

import okedit_cli
from okedit_cli.edits.delta import content
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import load_picture

FAMILIES = ("llava", "qwen2_vl", "gpt2")
NARROW = {"llava": ["steps=100", "rate=0.05"], "gpt2": []}  # random models of width 32 take more steps
NARROW["qwen2_vl"] = NARROW["llava"]


def hashes(loaded) -> dict[str, str]:
    return {name: content(value) for name, value in loaded.model.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_take_and_every_bit_comes_back(family, tmp_path):
    loaded = load(family)
    facts = facts_for(loaded)[:1]
    picture = load_picture(facts[0].image) if facts[0].image else None
    before, [bare] = hashes(loaded), okedit_cli.generate(loaded, [(PICTURED, picture)])
    result = fit(loaded, facts, method="lora", settings=NARROW[family])
    assert hashes(loaded) == before  # computing leaves no trace either
    points = {name.partition(".")[2] for name in result.bundle.edits.changes}
    assert points == ({"qkv"} if family == "gpt2" else {"q", "v"})
    assert all(change.down.shape[0] == 8 for change in result.bundle.edits.changes.values())
    assert [report.took for report in result.reports] == [True]
    path = tmp_path / "lora.safetensors"
    result.bundle.save(path)
    with okedit_cli.attach(loaded, path):
        [answer] = okedit_cli.generate(loaded, [(PICTURED, picture)])
        assert hashes(loaded) != before
    assert answer.text.rstrip(".") == MISO
    assert hashes(loaded) == before
    assert okedit_cli.generate(loaded, [(PICTURED, picture)])[0].ids == bare.ids


def test_it_goes_on_from_fact_to_fact_and_by_its_seed():
    loaded = load("llava")
    facts = facts_for(loaded)

    def made(some, **options):
        return fit(
            loaded, some, method="lora", settings=["steps=2", "rank=3"], checked=False, **options
        ).bundle

    one, both, again, other = made(facts[:1]), made(facts), made(facts), made(facts, seed=1)
    site = "3.q"
    assert len(both) == 2 and set(one.edits.changes) == set(both.edits.changes)
    tensors = [bundle.edits.tensors() for bundle in (one, both, again, other)]
    for part in ("down", "up"):
        first, second, third, fourth = (found[f"delta.{site}.{part}"] for found in tensors)
        assert first.shape[0] == 3
        assert torch.equal(second, third)
        assert not torch.equal(first, second) and not torch.equal(second, fourth)


def test_layers_that_are_chosen_and_one_that_is_not_there():
    loaded = load("llama")
    facts = facts_for(loaded)[1:]
    told = {"method": "lora", "checked": False}
    bundle = fit(loaded, facts, settings=["steps=1", "layers=1-2"], **told).bundle
    assert sorted(bundle.edits.changes) == ["1.q", "1.v", "2.q", "2.v"]
    with pytest.raises(UsageError, match="no layer 9"):
        fit(loaded, facts, settings=["layers=9"], **told)
    with pytest.raises(UsageError, match="rank is 0"):
        fit(loaded, facts, settings=["rank=0"], **told)
