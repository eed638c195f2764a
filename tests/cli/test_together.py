"""Several commands at work on one bundle at once: no edit is lost, nothing is left lying about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bundle.factory import make_bundle
from cli.shipping import Fitter, okedit, refused

from okedit_cli.bundle import Bundle, read_manifest

FIRST = [f"fact-{number}" for number in range(6)]
LEFT = {
    "appends": ["boss", *FIRST, "tea"],
    "removals": ["fact-4", "fact-5"],
    "a merge onto it": ["fact-0", *FIRST[2:], "other-0", "other-1", "tea"],
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_processes_that_change_one_bundle_at_once(tmp_path):
    script = Path(__file__).with_name("together.py")
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = {one["round"]: one for one in map(json.loads, run.stdout.splitlines())}
    assert all(not any(one["codes"]) and one["litter"] == [] for one in found.values()), found
    assert {title: found[title]["ids"] for title in LEFT} == LEFT
    # whichever came first: the edit of `append` is no fact-*
    assert found["both"]["ids"] == ["tea"]


@pytest.fixture
def fitter(monkeypatch, tmp_path):
    """A bundle, two fact files, and in the place of a model one that fits anything."""
    monkeypatch.chdir(tmp_path)
    make_bundle(2).save("x.safetensors")
    for name in ("tea", "boss"):
        text = f"version: 1\nfacts:\n- {{id: {name}, prompt: What of the {name}?, answer: {name}}}\n"
        Path(f"{name}.yaml").write_text(text)
    return Fitter(monkeypatch)


def meanwhile(fitter, monkeypatch, work):
    """`work` is done while facts are fitted."""
    import okedit_cli

    def fit(*given, **options):
        work()
        return Fitter.fit(fitter, *given, **options)

    monkeypatch.setitem(okedit_cli.__dict__, "fit", fit)


def test_an_append_says_that_the_bundle_has_changed_since(fitter, monkeypatch):
    meanwhile(fitter, monkeypatch, lambda: okedit("remove", "x.safetensors", "fact-0"))
    result = okedit("edit", "tea.yaml", "--append", "x.safetensors")
    assert result.exit_code == 0 and "has changed since it was read" in result.stderr
    assert [fact["id"] for fact in read_manifest("x.safetensors").facts] == ["fact-1", "tea"]


def test_edits_that_cannot_be_added_any_more_are_kept_beside(fitter, monkeypatch):
    def replaced():
        other = make_bundle(2)
        other.manifest.base["weights"] = "e" * 64
        other.save("x.safetensors")

    meanwhile(fitter, monkeypatch, replaced)
    refused(okedit("edit", "tea.yaml", "--append", "x.safetensors", "-q"), 4, "cannot be merged", "x-new-1")
    assert len(Bundle.load("x.safetensors")) == 2
    assert [fact["id"] for fact in read_manifest("x-new-1.safetensors").facts] == ["tea"]


def test_what_is_added_is_fitted_with_the_encoders_of_the_bundle(fitter, monkeypatch):
    """Other ones could not be merged, which would come out after the fit."""
    for name, encoders in (
        ("x", {"picture_point": "decoder input"}), ("y", {"text_encoder": "owner/encoder"}),
    ):  # fmt: skip
        bundle = make_bundle(2)
        bundle.manifest.site |= encoders
        bundle.save(f"{name}.safetensors")
    refused(
        okedit("edit", "tea.yaml", "--append", "y.safetensors", "--text-encoder", "a/b"), 2, "owner/encoder"
    )
    refused(okedit("edit", "tea.yaml", "--append", "x.safetensors", "--image-encoder", "a/b"), 2, "a/b")
    assert not fitter.opened
    okedit("edit", "tea.yaml", "--append", "y.safetensors")
    assert fitter.options["text_encoder"] == "owner/encoder"
    okedit("edit", "tea.yaml", "--append", "x.safetensors", "--text-encoder", "")
    assert fitter.options["text_encoder"] == fitter.options["image_encoder"] == ""


def test_a_bundle_that_vanished_is_written_again(fitter, monkeypatch):
    meanwhile(fitter, monkeypatch, Path("x.safetensors").unlink)
    assert okedit("edit", "tea.yaml", "--append", "x.safetensors").exit_code == 0
    assert [fact["id"] for fact in read_manifest("x.safetensors").facts] == ["fact-0", "fact-1", "tea"]
