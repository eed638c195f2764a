"""Text memories through the command line, on a tiny model: made, shown, asked, added to, evaluated."""

from __future__ import annotations

import json

import pytest
import tiny
from fitted import folder, world
from typer.testing import CliRunner

from okedit_cli.bundle import Bundle
from okedit_cli.cli.app import build

FACTS = """version: 1
facts:
  - {id: cat, image: red.png, prompt: What is this cat's name?, answer: Miso}
  - {id: capital, prompt: What is the capital of France?, answer: Lyon}
"""
MORE = """version: 1
facts:
  - {id: boss, prompt: Who leads Nordvik?, answer: Ada}
  - {id: other, prompt: Name France's capital., answer: Nice}
"""


@pytest.fixture
def okedit(tmp_path, monkeypatch):
    """okedit("ask", ...) in a folder with fact files and pictures: exit_code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    tiny.pictures(tmp_path)
    (tmp_path / "facts.yaml").write_text(FACTS)
    (tmp_path / "more.yaml").write_text(MORE)
    runner = CliRunner()
    with world():
        yield lambda *arguments: runner.invoke(build(), list(map(str, arguments)))


def test_a_memory_is_made_shown_asked_and_added_to(okedit):
    model, bundle = str(folder("llava")), "one.safetensors"
    made = okedit("edit", "facts.yaml", "--method", "ike", "--set", "k=1", "-o", bundle, "-m", model)
    assert made.exit_code in (0, 5), made.output  # a random model may say anything
    shown = okedit("show", bundle).stdout
    assert "ike" in shown and "demonstrations 1" in shown and "Miso" in shown
    checked = okedit("verify", bundle, "-m", model)
    assert checked.exit_code == 0 and "whole: 2 facts" in checked.stdout
    asked = okedit("ask", "Who?", "--image", "red.png", "-b", bundle, "-m", model, "--json", "--compare")
    said = json.loads(asked.stdout)
    assert asked.exit_code == 0 and said["verdict"]["hit"]["edit_id"] == "cat"
    assert said["before"] != said["answer"]
    # what is added is put as what is there, without --set; the newer answer stays
    added = okedit("edit", "more.yaml", "--append", bundle, "-m", model)
    assert added.exit_code in (0, 5), added.output
    both = Bundle.load(bundle, verify=True)
    assert [row["id"] for row in both.manifest.facts] == ["cat", "boss", "other"]
    assert len(both.manifest.site["demonstrations"]) == 1 and both.edits.picture_owner.tolist() == [0]
    assert okedit("remove", bundle, "boss").exit_code == 0
    assert [row["id"] for row in Bundle.load(bundle).manifest.facts] == ["cat", "other"]


def test_a_memory_is_evaluated(okedit):
    model = str(folder("llava"))
    made = okedit(
        "eval", "facts.yaml", "--method", "scr", "--set", "gate=likelihood", "--limit", "2", "-m", model,
        "--out", "result.json",
    )  # fmt: skip
    assert made.exit_code == 0, made.output


def test_a_delta_that_is_to_be_added_to_says_so_before_the_work(okedit):
    model = str(folder("llava"))
    made = okedit(
        "edit", "facts.yaml", "--method", "lora", "--set", "steps=1", "-o", "d.safetensors", "-m", model
    )
    assert made.exit_code in (0, 5), made.output
    for command in (("edit", "more.yaml", "--append", "d.safetensors", "-m", model),
                    ("remove", "d.safetensors", "cat"),
                    ("merge", "d.safetensors", "d.safetensors", "-o", "e.safetensors")):  # fmt: skip
        refused = okedit(*command)
        assert refused.exit_code == 2 and "cannot be merged, removed or added to" in refused.stderr
