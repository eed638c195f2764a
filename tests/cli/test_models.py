"""Bundles shipped between two tiny models of different make: verified, added to, made again from a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from cli.shipping import okedit
from fitted import world

from okedit_cli.bundle import Bundle, read_manifest


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with world():
        yield {family: tiny.build(family, folder / family) for family in ("llava", "qwen2_vl")}


def test_from_one_model_to_the_next(models, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tiny.picture().save("red.png")
    text = "version: 1\nfacts:\n- {id: %s, image: red.png, prompt: %s, answer: %s}\n"
    Path("one.yaml").write_text(text % ("cat", "What is this cat called?", "Miso"))
    Path("two.yaml").write_text(text % ("dog", "How many are there?", "Two"))
    llava, qwen = models["llava"], models["qwen2_vl"]
    # random models take little, which is exit code 5; the bundle is written all the same
    flags = ["--over-reach", "--with-sources", "-q"]
    result = okedit("edit", "one.yaml", "-m", llava, "-o", "a.safetensors", *flags)
    assert result.exit_code in (0, 5), result.stderr
    result = okedit("verify", "a.safetensors", "-m", llava)
    assert result.exit_code == 0 and "it belongs to llava" in result.stdout, result.stderr
    result = okedit("verify", "a.safetensors", "-m", qwen)
    assert (result.exit_code, result.stdout) == (4, "") and "architecture" in result.stderr
    made = Bundle.load("a.safetensors")  # on a machine where the spaces were measured a little otherwise
    made.codebook.question_mean = mean = made.codebook.question_mean + 1e-4
    made.codebook.picture_projection = view = made.codebook.picture_projection * 1.0001
    made.save("a.safetensors")
    result = okedit("edit", "two.yaml", "-m", llava, "--append", "a.safetensors", *flags)
    assert result.exit_code in (0, 5), result.stderr
    made = Bundle.load("a.safetensors")
    assert len(made) + len(made.manifest.dropped) == 2  # so they were merged, in the spaces that were there
    assert torch.equal(made.codebook.question_mean, mean)
    assert torch.equal(made.codebook.picture_projection, view)
    assert okedit("verify", "a.safetensors", "-m", llava).exit_code == 0
    Path("red.png").unlink()
    result = okedit(
        "edit", "--from", "a.safetensors", "-m", qwen, "-o", "b.safetensors", "--over-reach", "--json"
    )
    assert result.exit_code in (0, 5), result.stderr
    assert json.loads(result.stdout)["model"] == "qwen2_vl"
    one, other = read_manifest("a.safetensors"), read_manifest("b.safetensors")
    assert one.base["architecture"] != other.base["architecture"]

    def words(manifest):
        return [{k: v for k, v in fact.items() if k != "report"} for fact in manifest.facts]

    assert words(one) == words(other) and one.sources == other.sources


def test_every_method_in_one_go_and_those_that_cannot_say_why(monkeypatch, tmp_path):
    from okedit_cli.methods import methods

    monkeypatch.chdir(tmp_path)
    with world():
        folder = tiny.build("llama", tmp_path / "llama")
    text = "version: 1\nfacts:\n- {id: capital, prompt: What is the capital of France?, answer: Lyon}\n"
    Path("facts.yaml").write_text(text)
    flags = ["--no-forced", "--max-tokens", "3"]
    result = okedit("eval", "facts.yaml", "-m", folder, "--method", "all", "--json", *flags)
    assert result.exit_code == 0, result.stderr
    found = {one["method"] for one in json.loads(result.stdout)["results"]}
    left_out = {name for name in methods() if f"{name} is left out:" in result.stderr}
    assert found | left_out == {*methods()} and not found & left_out
    assert {"mend", "ft-vis"} <= left_out and {"balancedit", "memit", "scr", "grace", "lora"} <= found
    assert {path.name for path in Path("results").iterdir()} == {
        f"facts-{name}-single.json" for name in found
    }
    result = okedit("eval", "facts.yaml", "-m", folder, "--method", "all", "-o", "one.json")
    assert result.exit_code == 2 and "writes a result for each method" in result.stderr
