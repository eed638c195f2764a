"""Edits as LoRA folders that the peft library loads: the edited answer comes out under them."""

from __future__ import annotations

import json
from dataclasses import replace

import fitted
import pytest
from safetensors.torch import load_file
from scope.held import bundle as held

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.sources import put_sources
from okedit_cli.checking import says
from okedit_cli.errors import UsageError
from okedit_cli.exports.names import folder_name
from okedit_cli.exports.peft import write_adapters

peft = pytest.importorskip("peft", reason="peft is not installed")


def under(loaded, folder, questions, answers):
    """Of questions, how many are answered so with an adapter that peft has loaded."""
    model = peft.PeftModel.from_pretrained(loaded.model, str(folder))
    try:
        said = okedit_cli.generate(loaded, questions, max_new_tokens=12)
    finally:
        model.unload()
    return sum(says(one.text, answer) for one, answer in zip(said, answers, strict=True))


@pytest.mark.parametrize("family", ["llava", "gpt2"])
def test_the_edited_answer_comes_out_under_peft(family, tmp_path):
    case = fitted.fitted(family)
    loaded, source = fitted.load(family), tmp_path / "a.safetensors"
    bundle = Bundle(replace(case.bundle.manifest), case.bundle.edits)
    pictured = [(q, p) for q, p in case.questions[:1] if p is not None]
    if pictured:
        put_sources(bundle, [(fitted.ROOT / "red.png").read_bytes()])
    bundle.save(source)
    with fitted.world():
        done = write_adapters(loaded, source, tmp_path / "adapters")
    assert not done.left_out and [one.id for one in done.made] == ["cat", "capital"]
    for one in done.made:
        right, count = one.answered
        assert right >= 0.8 * count
        config = json.loads((one.folder / "adapter_config.json").read_text())
        tensors = load_file(one.folder / "adapter_model.safetensors")
        assert config["r"] == 5 and len(tensors) == 2
    before = okedit_cli.generate(loaded, [(fitted.WORDS, None)])[0].text
    assert under(loaded, tmp_path / "adapters" / "capital", [(fitted.WORDS, None)], [fitted.PARIS]) == 1
    if pictured:
        assert under(loaded, tmp_path / "adapters" / "cat", pictured, [fitted.MISO]) == 1
    assert okedit_cli.generate(loaded, [(fitted.WORDS, None)])[0].text == before


def test_a_fact_without_its_picture_is_left_out(tmp_path):
    case = fitted.fitted("llava")
    case.bundle.save(tmp_path / "a.safetensors")
    with fitted.world():
        done = write_adapters(fitted.load("llava"), tmp_path / "a.safetensors", tmp_path / "adapters")
    assert list(done.left_out) == ["cat"] and [one.id for one in done.made] == ["capital"]


def test_what_no_lora_can_say_is_refused(tmp_path):
    loaded = fitted.load("llava")
    replaced = held({"id": "a", "prompt": "Who leads the office?"})
    replaced.manifest.site = {**replaced.manifest.site, "change": "replace"}
    replaced.save(tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="replaces what comes out of its site"):
        write_adapters(loaded, tmp_path / "a.safetensors", tmp_path / "adapters")
    fitted.fit(loaded, fitted.facts_for(loaded)[1:], method="ft-llm", checked=False).bundle.save(
        tmp_path / "b.safetensors"
    )
    with pytest.raises(UsageError, match="holds a delta"):
        write_adapters(loaded, tmp_path / "b.safetensors", tmp_path / "adapters")


def test_names_of_folders_lead_nowhere_else():
    assert folder_name("peru capital") == "peru-capital"
    assert folder_name("../../etc") == "-..-etc" and folder_name("..") == "edit"
