"""okedit doctor: what is at hand, and what is not."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from bundle.factory import make_bundle
from cli.shipping import okedit

import okedit_cli


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    Path("home").mkdir()
    Path("home/x").write_bytes(bytes(2_000_000))
    Path("hub/models--me--some--model").mkdir(parents=True)
    Path("bundles").mkdir()
    make_bundle().save("bundles/a.safetensors")
    Path("bundles/b.safetensors").write_bytes(b"no")


def test_everything_at_hand_in_words():
    result = okedit("doctor")
    assert result.exit_code == 0, result.stderr
    for words in (okedit_cli.__version__, metadata.version("torch"), "cpu (", "home, 2.0 MB", "not set up",
                  "1 models", "me/some--model", "a.safetensors: 3 edits for okedit-mini",
                  "b.safetensors: this is not a safetensors file"):  # fmt: skip
        assert words in result.stdout, words


def test_the_same_as_json():
    found = json.loads(okedit("doctor", "--json").stdout)
    assert found["packages"]["transformers"] == metadata.version("transformers")
    assert found["home"] == {"folder": str(Path.cwd() / "home"), "bytes": 2_000_000, "okedit_mini": False}
    assert [bundle["facts"] for bundle in found["bundles"]] == [3, None]


def test_a_missing_package_is_an_error(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "gguf":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    result = okedit("doctor")
    assert result.exit_code == 1 and "gguf" in result.stderr and "pip install gguf" in result.stderr
    assert "not installed" in result.stdout
