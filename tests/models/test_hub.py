"""A hub out of reach costs two seconds, not half a minute, and what the cache holds is still loaded."""

from __future__ import annotations

import shutil
import time

import pytest
from hub_server import answering, refusing, silent
from transformers import AutoModel, AutoTokenizer  # noqa: F401  their import is not what is timed here

from okedit_cli.bundle.hub import fetch_bundle, push_folder
from okedit_cli.encoders.hub import load_encoder
from okedit_cli.errors import ModelError, OkeditError
from okedit_cli.models.hub import reachable
from okedit_cli.models.load import load_model


def test_a_hub_that_answers_is_reachable(monkeypatch):
    with answering(monkeypatch):
        assert reachable()


@pytest.mark.parametrize(("hub", "calls"), [(refusing, 6), (silent, 1)])  # each waits out a silent one
def test_a_hub_that_does_not_is_told_from_it_in_time(monkeypatch, tmp_path, hub, calls):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with hub(monkeypatch):
        everything = (
            lambda: load_model("owner/name"),
            lambda: load_model("hf://owner/name"),
            lambda: fetch_bundle("hf://owner/name"),
            lambda: fetch_bundle("hf://owner/name/facts.safetensors"),
            lambda: push_folder("hf://owner/name", tmp_path, private=False),
            lambda: load_encoder("owner/encoder", "text"),
        )
        for call in everything[:calls]:
            start = time.monotonic()
            with pytest.raises(OkeditError) as caught:
                call()
            assert time.monotonic() - start < 3
            assert "owner/" in caught.value.message and "\n" not in caught.value.message
            assert "cannot be reached" in caught.value.message or "couldn't connect" in caught.value.message


def test_a_slow_network_is_given_longer(monkeypatch):
    with silent(monkeypatch):
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.1")
        start = time.monotonic()
        assert not reachable() and time.monotonic() - start < 1


@pytest.mark.parametrize("name", ["owner/name", "hf://owner/name"])
def test_a_model_in_the_cache_is_loaded_without_the_hub(monkeypatch, tmp_path, folders, name):
    cached = tmp_path / "models--owner--name"
    shutil.copytree(folders["llava"], cached / "snapshots" / "0123456789abcdef0123456789abcdef01234567")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with refusing(monkeypatch):
        loaded = load_model(name)
    assert loaded.name == "owner/name" and loaded.processor is not None


@pytest.mark.parametrize("name", ["no name!", "x\udcff", "a/b/c", "hf://a/b/c", "-/x"])
def test_what_is_no_hub_id_is_told_as_such(monkeypatch, name):
    with refusing(monkeypatch), pytest.raises(ModelError, match="is not a model"):
        load_model(name)


def test_offline_mode_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        load_model("owner/name")
    for call in (
        lambda: fetch_bundle("hf://owner/name"),
        lambda: push_folder("hf://owner/name", tmp_path, private=False),
    ):
        with pytest.raises(OkeditError, match="HF_HUB_OFFLINE is set"):
            call()
