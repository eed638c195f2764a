"""What commands may write to: nothing of the user's is replaced, and what cannot be written is told first."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bundle.factory import make_bundle
from bundle.test_merge import lay
from cli.shipping import okedit as run
from cli.shipping import refused

from okedit_cli.bundle.merge import merge

MINE = {
    "facts.yaml": None, "data.json": '[{"src": "Q", "alt": "a"}]', "notes.txt": "mine",
    "broken.json": "{", "page.html": "<!doctype html><html>mine</html>", "other.safetensors": "no bundle",
}  # fmt: skip
# FILE is what is written to; none of these needs a model to be refused
WRITERS = [
    ["eval", "facts.yaml", "-o", "FILE"],
    ["eval", "facts.yaml", "-o", "new.json", "--html", "FILE"],
    ["edit", "facts.yaml", "-o", "FILE"],
    ["edit", "facts.yaml", "--append", "FILE"],
]


@pytest.fixture
def mine(world):
    for name, text in MINE.items():
        if text is not None:
            Path(name).write_text(text)
    return {name: Path(name).read_bytes() for name in MINE}


@pytest.mark.parametrize("name", [name for name in MINE if not name.endswith(("facts.yaml", "data.json"))])
@pytest.mark.parametrize("words", WRITERS[:2])
def test_an_evaluation_replaces_no_file_of_another_kind(okedit, world, mine, words, name):
    result = okedit(*(name if word == "FILE" else word for word in words))
    assert result.exit_code == 2 and not world.opened and name in result.stderr
    assert f"error: {name} is there already" in result.stderr and "--force" in result.stderr
    assert {name: Path(name).read_bytes() for name in MINE} == mine and not Path("new.json").exists()


@pytest.mark.parametrize("words", WRITERS[:3])
def test_what_is_read_is_not_replaced_even_by_force(okedit, world, mine, words):
    result = okedit(*("facts.yaml" if word == "FILE" else word for word in words), "--force")
    assert result.exit_code == 2 and not world.opened
    assert Path("facts.yaml").read_bytes() == mine["facts.yaml"]


@pytest.mark.parametrize("words", WRITERS)
@pytest.mark.parametrize("place", ["/proc/x", "facts.yaml/x", "a" * 300, "folder", "/dev/null", "-"])
def test_what_cannot_be_written_is_told_before_the_model_is_loaded(okedit, world, words, place):
    Path("folder").mkdir()
    result = okedit(*(place if word == "FILE" else word for word in words))
    assert result.exit_code in (1, 2) and not world.opened, result.stderr
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 2
    assert sorted(path.name for path in Path().iterdir()) == ["cat.png", "facts.yaml", "folder"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(okedit, world):
    Path("closed").mkdir(mode=0o555)
    result = okedit("edit", "facts.yaml", "-o", "closed/x.safetensors")
    assert result.exit_code == 1 and not world.opened and "closed/x.safetensors" in result.stderr


def test_a_report_and_a_result_may_not_be_one_file(okedit, world):
    result = okedit("eval", "facts.yaml", "-o", "x", "--html", "./x")
    assert result.exit_code == 2 and "--html" in result.stderr and not world.opened


@pytest.mark.parametrize("words", [
    ["merge", "a.safetensors", "b.safetensors", "-o", "FILE"],
    ["remove", "a.safetensors", "fact-0", "-o", "FILE"],
    ["export", "a.safetensors", "--to", "FILE.yaml"],
])  # fmt: skip
def test_commands_on_bundles_replace_by_force_alone(monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    make_bundle(2, seed=1).save("a.safetensors")
    other = make_bundle(2, seed=2, prefix="other")
    other.codebook.picture_keys += 1000
    other.save("b.safetensors")
    words = [word.replace("FILE", "notes") for word in words]
    target = Path(words[-1])
    target.write_text("mine")
    refused(run(*words), 2, str(target), "--force")
    assert target.read_text() == "mine"
    assert run(*words, "--force").exit_code == 0 and target.read_bytes() != b"mine"
    target.write_text("")  # an empty file has nothing to lose
    assert run(*words).exit_code == 0


@pytest.mark.parametrize("to", ["facts.json", "new/x.safetensors", "archive.zip", "card.md"])
def test_an_export_makes_no_folder_that_looks_like_a_file(monkeypatch, tmp_path, to):
    monkeypatch.chdir(tmp_path)
    make_bundle(2).save("a.safetensors")
    refused(run("export", "a.safetensors", "--to", to), 2, f"--to {to} looks like a file", ".yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert run("export", "a.safetensors", "--to", f"{to}/").exit_code == 0 and Path(to).is_dir()


def test_an_export_among_other_files_by_force(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    make_bundle(2).save("a.safetensors")
    Path("mine").mkdir()
    Path("mine/README.md").write_text("mine")
    refused(run("export", "a.safetensors", "--to", "mine"), 2, "--force")
    assert run("export", "a.safetensors", "--to", "mine", "--force").exit_code == 0
    assert sorted(path.name for path in Path("mine").iterdir()) == ["README.md", "bundle.safetensors"]


def test_a_bundle_in_the_place_of_facts_is_told_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    make_bundle(2).save("a.safetensors")
    refused(run("eval", "a.safetensors"), 2, "is a bundle", "-b a.safetensors")
    refused(run("edit", "a.safetensors"), 2, "is a bundle", "--from a.safetensors")


def test_what_a_merge_had_left_out_for_a_removed_edit_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    old, new = lay(("boss", "Ada", 0.0, 1.0)), lay(("chef", "Grace", 0.75, 1.0))
    merge([old, new])[0].save("both.safetensors")
    result = run("remove", "both.safetensors", "chef", "-o", "left.safetensors", "-q")
    assert result.stdout == "removed: chef\n"
    assert "warning: boss ('Ada'), which a merge had left out for chef, does not come back" in result.stderr
    found = json.loads(run("remove", "both.safetensors", "chef", "--json").stdout)
    assert found["forgotten"] == [{"id": "boss", "answer": "Ada", "preferred": ["chef"]}]


def test_patterns_of_ids(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    bundle = make_bundle(5)
    bundle.manifest.facts[3]["id"], bundle.manifest.facts[4]["id"] = "tea", "t*"
    bundle.save("a.safetensors")
    refused(run("remove", "a.safetensors", "tea-*"), 2, "a.safetensors: ", "'tea-*'")
    result = run("remove", "a.safetensors", "fact-[01]", "fact-0", "t*", "--json")
    assert json.loads(result.stdout)["removed"] == ["fact-0", "fact-1", "t*"]  # an id is itself first
    assert run("remove", "a.safetensors", "*").stdout == "removed: fact-2\nremoved: tea\n"
