"""A bundle as a text memory: the same decisions without values or a base model, and facts keyed anew."""

from __future__ import annotations

from dataclasses import replace

import fitted
import pytest
import tiny
import torch
from cli.shipping import okedit
from encoders.test_hub import image_encoder
from scope.held import bundle as held
from serving import data_url

from okedit_cli.bundle import Bundle, check_fit, read_manifest
from okedit_cli.bundle.canary import measure_drift
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.sources import put_sources
from okedit_cli.encoders.image import MINI, image_vectors
from okedit_cli.errors import ModelMismatch, UsageError
from okedit_cli.exports.memory import as_memory
from okedit_cli.models.packages import okedit_home
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.router import Router

WORDS = {"id": "peru", "prompt": "What is the capital of Peru?", "answer": "Cusco"}


@pytest.fixture(scope="module")
def small():
    """The small bank, with okedit-mini, whose tower keys pictures, in its home."""
    models = okedit_home() / "models"
    with fitted.world():
        if not (home := okedit_home() / "models").exists():
            home.symlink_to(models)
        yield


@pytest.fixture
def pictured(tmp_path):
    """(file of a bundle whose pictures are keyed by its base model, the picture's file as bytes)."""
    fitted.fitted("llava").bundle.save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors", (fitted.ROOT / "red.png").read_bytes()


def routed(bundle, question: str, picture=None):
    vector = None if picture is None else image_vectors([picture], MINI)[0]
    shown = None if picture is None else Picture(vector)
    hit = Router([bundle], [0.5]).route(Query(question, shown)).hit
    return hit and hit.edit_id


def test_keys_that_need_no_model_are_copied_and_values_left_behind(tmp_path):
    found = held(WORDS, {"id": "boss", "prompt": "Who leads the office?", "rephrases": ["Who is the boss?"]})
    found.save(tmp_path / "a.safetensors")
    made = as_memory(tmp_path / "a.safetensors")
    assert not made.left_out and [f["id"] for f in made.bundle.manifest.facts] == ["peru", "boss"]
    made.bundle.save(tmp_path / "m.safetensors")
    again = Bundle.load(tmp_path / "m.safetensors", verify=True)
    assert torch.equal(again.codebook.question_keys, found.codebook.question_keys)
    assert not sum(getattr(again.codebook, f"value_{name}").numel() for name in ("down", "up", "bias"))
    for question in (
        "Which city is Peru's capital?",
        "Who leads the office?",
        "What is the capital of Chile?",
    ):
        assert routed(again, question) == routed(found, question)
    assert again.manifest.facts[0]["note"] == "Fact: What is the capital of Peru? Cusco."
    with pytest.raises(ModelMismatch, match="holds no values"):
        check_fit(again.manifest, found.manifest.base)


def test_a_bundle_that_is_there_stays_unless_forced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    held(WORDS).save("a.safetensors")
    held({**WORDS, "id": "other"}).save("b.safetensors")
    words = ("export", "a.safetensors", "--to", "memory", "-o", "b.safetensors")
    before = (tmp_path / "b.safetensors").read_bytes()
    result = okedit(*words)
    assert result.exit_code == 2 and "b.safetensors is there already" in result.stderr
    assert "--force" in result.stderr and (tmp_path / "b.safetensors").read_bytes() == before
    assert okedit(*words, "--force").exit_code == 0
    assert [fact["id"] for fact in read_manifest("b.safetensors").facts] == ["peru"]


def test_memories_of_different_base_models_merge(tmp_path):
    memories = []
    for number, architecture in enumerate(("X", "Y")):
        one = held(
            {**WORDS, "id": f"f{number}", "prompt": ["Who leads the office?", WORDS["prompt"]][number]}
        )
        one.manifest.base = {**one.manifest.base, "architecture": architecture}
        one.save(tmp_path / "a.safetensors")
        memories.append(as_memory(tmp_path / "a.safetensors").bundle)
    merged, _ = merge(memories)
    assert routed(merged, WORDS["prompt"]) == "f1" and len(merged) == 2


def test_pictures_are_keyed_again_by_the_tower_alone(small, pictured, tmp_path):
    source, data = pictured
    bundle = Bundle.load(source)
    put_sources(bundle, [data])
    bundle.save(source)
    made = as_memory(source)
    memory = made.bundle
    assert not made.left_out and memory.manifest.site["picture_point"] == MINI
    assert memory.manifest.facts[0]["reach"] in ("kind", "picture")
    assert len(memory.codebook.thumbnails) == 1 and 0 < float(memory.codebook.picture_radius[0]) < 2
    picture = tiny.picture()
    assert routed(memory, fitted.PICTURED, picture) == "cat" and routed(memory, fitted.WORDS) == "capital"
    assert routed(memory, fitted.PICTURED) is None
    assert all(drift.distance < 1e-4 for drift in measure_drift(None, memory))


def test_a_fact_whose_picture_nobody_has_is_left_out_and_named(small, pictured, tmp_path):
    source, data = pictured
    made = as_memory(source)
    assert list(made.left_out) == ["cat"] and "not in the bundle" in made.left_out["cat"]
    assert [fact["id"] for fact in made.bundle.manifest.facts] == ["capital"]
    result = okedit("export", str(source), "--to", "memory", "-o", str(tmp_path / "m.safetensors"))
    assert result.exit_code == 5 and "1 fact left out (cat): " in result.stderr
    assert [fact["id"] for fact in read_manifest(tmp_path / "m.safetensors").facts] == ["capital"]
    sha = read_manifest(source).facts[0]["picture_sha256"]
    assert not as_memory(source, pictures={sha: data}).left_out
    alone = Bundle.load(source)
    remove(alone, ["capital"])[0].save(tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="none of its facts can be exported") as told:
        as_memory(tmp_path / "b.safetensors")
    assert "--pictures" in told.value.hint


def test_facts_of_any_kind_of_bundle_can_be_exported(small, tmp_path):
    loaded = fitted.load("llama")
    facts = fitted.facts_for(loaded)
    for method in ("ike", "ft-llm"):
        made = fitted.fit(loaded, facts[1:], method=method, checked=False).bundle
        replace(made).save(tmp_path / f"{method}.safetensors")
        memory = as_memory(tmp_path / f"{method}.safetensors").bundle
        assert memory.edits.kind == "codebook" and routed(memory, fitted.WORDS) == "capital"


def test_another_image_encoder_keys_pictures_and_the_gateway_asks_it(small, pictured, tmp_path, monkeypatch):
    source, data = pictured
    monkeypatch.chdir(tmp_path)
    image_encoder("siglip", tmp_path / "siglip")
    sha = read_manifest(source).facts[0]["picture_sha256"]
    made = as_memory(source, image_encoder="siglip", pictures={sha: data}).bundle
    assert made.manifest.site["picture_point"] == "siglip" and "reference_pictures" in made.extras
    made.save(tmp_path / "m.safetensors")
    pytest.importorskip("fastapi", reason="okedit[serve] is not installed")
    from okedit_cli.serve.front import Front

    front = Front([Bundle.load(tmp_path / "m.safetensors")], image_encoder="siglip")
    front.open_encoders()
    assert front.decide(fitted.PICTURED, [data_url(tiny.picture())]).edit_id == "cat"
    assert front.decide(fitted.PICTURED) is None and front.decide(fitted.WORDS).edit_id == "capital"
    with pytest.raises(UsageError, match="path of this machine"):
        as_memory(source, image_encoder=str(tmp_path / "siglip"))
