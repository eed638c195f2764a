"""Bundles of format 1.0 as they are in the world: files in frozen/ are never written again, only read.

Where a test here fails, the code is to be changed, not the file: users hold bundles like these. fitted: two
facts fitted to a tiny model (its picture space cut to 24 directions); merged: pictures, open channels,
records of a dropped edit and of a shrunk one, an edit renamed; many: as bundles of thousands are written.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundle.factory import join_file, same, seal, split_file
from cli.shipping import FACTS, PICTURES, loaded_facts, okedit, refused

from okedit_cli.bundle import Bundle, BundleWarning, read_manifest
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.sources import get_sources
from okedit_cli.edits.index import Index

FROZEN = Path(__file__).with_name("frozen")
FILES = {
    "fitted": "3379174c0ce5305914b1c960e7a39fba6d9debca04dba2fa257f1e49bfaf4cb3",
    "merged": "701bec70c9ba7e0f81caea64dd03887365c0c46bb7f0b8e222caabe4972637d3",
    "many": "edb20720d3d8b82aa265a8d09ae02a29e043a65aad275be77d46b7304696c990",
}
IDS = {"fitted": ["cat", "capital"], "merged": ["cat", "boss", "cat-2", "heron"],
       "many": [f"many-{number}" for number in range(6)]}  # fmt: skip
INF = float("inf")


def path_of(name: str) -> Path:
    return FROZEN / f"{name}-1.0.safetensors"


def load(name: str) -> Bundle:
    return Bundle.load(path_of(name), verify=True)


@pytest.mark.parametrize("name", FILES)
def test_it_is_read_as_it_was_written(name, recwarn):
    assert hashlib.sha256(path_of(name).read_bytes()).hexdigest() == FILES[name], "frozen: take it back"
    bundle = load(name)
    assert bundle.manifest.format == "1.0" and bundle.manifest.unknown == [] and not recwarn.list
    assert [fact["id"] for fact in bundle.manifest.facts] == IDS[name]
    assert read_manifest(path_of(name)) == bundle.manifest


def test_what_a_fit_wrote_down():
    manifest = load("fitted").manifest
    assert manifest.method == "balancedit" and manifest.settings["question_reach"] == 4.626388
    assert manifest.site == {
        "key_layer": 0,
        "question_point": "decoder layer",
        "picture_point": "decoder input and name",
        "value_layer": 3,
        "point": "feed-forward output",
    }
    assert manifest.base["architecture"] == "LlavaForConditionalGeneration"
    assert manifest.base["weights"].startswith("7055165e76b0") and manifest.versions["torch"] == "2.13.0+cpu"
    cat, capital = manifest.facts
    assert cat["report"]["radius"] == 9.767961 and cat["picture_sha256"].startswith("add03630f19c")
    assert (capital["prompt"], capital["answer"]) == ("What is the capital of France?", "Paris.")
    assert manifest.canary[0] == {"kind": "question", "prompt": "What is in this picture?"}


SUMS = {  # of the picture keys, of the values: float64, four places
    "fitted": (-31.7164, 2.364), "merged": (59.5, 54.7637), "many": (356.4057, 74.9445),
}  # fmt: skip
DECISIONS = [  # place of a picture key (None: no picture), of a question key, step aside -> edit and distance
    ("fitted", 0, 0, 0.25, "cat", 0.61237), ("fitted", 0, 0, 4.0, None, 9.79796),
    ("fitted", None, 9, 0.0, "capital", INF), ("fitted", 3, 9, 0.0, "capital", INF),
    ("merged", 0, 0, 0.25, "cat", 0.25), ("merged", 4, 4, 0.25, "cat-2", 0.25),
    ("merged", 0, 0, 4.0, None, 3.55317), ("merged", 3, 2, 4.0, "boss", 4.0),
    ("merged", None, 2, 0.0, "boss", INF), ("merged", None, 0, 0.0, None, INF),
    ("merged", 6, 6, 0.25, "heron", 0.25), ("many", 1, 0, 0.25, "many-0", 0.25),
    ("many", 2, 2, 0.0, "many-1", 0.0), ("many", 2, 2, 0.25, None, 0.25),
    ("many", 8, 8, 0.25, "many-4", 0.24999), ("many", 8, 8, 4.0, None, 3.99999),
]  # fmt: skip


def feature(book, channel: str, key: torch.Tensor) -> torch.Tensor:
    """What a model would have to give for this key."""
    back = torch.linalg.pinv(getattr(book, f"{channel}_projection").double())
    return (getattr(book, f"{channel}_mean") + key.double() @ back).float()


@pytest.mark.parametrize("name", FILES)
def test_keys_and_values_are_where_they_were(name):
    book = load(name).codebook
    sums = float(book.picture_keys.double().sum()), float(book.value_up.double().abs().sum())
    assert sums == pytest.approx(SUMS[name], abs=1e-4)


@pytest.mark.parametrize("name, picture, question, aside, wanted, distance", DECISIONS)
def test_prompts_are_decided_as_they_were(name, picture, question, aside, wanted, distance):
    bundle = load(name)
    book = bundle.codebook
    shown = None if picture is None else feature(book, "picture", book.picture_keys[picture] + aside / 2)
    asked = feature(book, "question", book.question_keys[question])
    found = book.match(shown, asked)
    assert (IDS[name][found.edit] if found.fires else None) == wanted
    if wanted != "capital":  # open to every picture
        assert found.picture_distance == pytest.approx(distance, abs=1e-4)
    index = Index.from_tensors(book, bundle.tensors() | bundle._sketches[1]) if name == "many" else None
    assert index is None or index.match(shown, asked) == (found if found.fires else None)


@pytest.mark.parametrize("name", FILES)
def test_saving_it_again_gives_the_same_bytes(name, tmp_path, monkeypatch):
    if name == "many":
        monkeypatch.setattr("okedit_cli.bundle.bundle.MOST", 2)
        monkeypatch.setattr("okedit_cli.bundle.bundle.SKETCHED", 2)
    load(name).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path_of(name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_merged_with_itself_it_is_itself(name):
    whole = load(name)
    merged, report = merge([whole, load(name)])
    records = [fact["id"] for fact in whole.manifest.dropped]
    assert same(merged, whole) and not report.conflicts
    assert [one for one, _ in report.duplicates] == IDS[name] + records


def test_an_edit_goes_and_those_it_had_cut_short_or_out_come_back():
    whole = load("merged")
    assert whole.codebook.picture_radius.tolist() == [0.375, INF, 0.375, 1.0]
    assert whole.manifest.facts[2]["renamed_from"] == "cat" and whole.manifest.dropped[0]["id"] == "owl"
    left, report = remove(whole, ["cat-2", "heron"])
    assert [fact["id"] for fact in left.manifest.facts] == ["cat", "boss"]
    assert left.codebook.picture_radius.tolist() == [1.0, INF]
    assert (report.regrown, report.forgotten) == (["cat"], ["owl"]) and not left.manifest.dropped


@pytest.mark.parametrize("name", FILES)
def test_the_first_edit_goes_and_the_rest_stays(name, tmp_path):
    left, _ = remove(load(name), IDS[name][:1])
    left.save(tmp_path / "left")
    again = Bundle.load(tmp_path / "left", verify=True)
    assert [fact["id"] for fact in again.manifest.facts] == IDS[name][1:]
    assert torch.equal(again.codebook.value_up, load(name).codebook.value_up[1:])


def test_its_facts_and_pictures_come_out_again(tmp_path):
    assert okedit("verify", path_of("merged")).exit_code == 0
    done = okedit("export", path_of("merged"), "--to", tmp_path / "facts.yaml", "--json")
    assert done.exit_code == 0, done.stderr
    missing = json.loads(done.stdout)["missing_pictures"]
    assert missing == {"cat-2": ["not-in-the-bundle-77af778b51abd4a3"],
                       "heron": ["not-in-the-bundle-8bf140db34c3fc03"]}  # fmt: skip
    for (name,) in missing.values():
        (tmp_path / "facts-pictures" / name).write_bytes(picture(0))
    (tmp_path / "first.yaml").write_text(FACTS)
    for place, name in enumerate(PICTURES):
        assert hashlib.sha256(picture(place)).hexdigest() == SHA256[name]
        (tmp_path / name).write_bytes(picture(place))
    facts, first = loaded_facts(tmp_path / "facts.yaml"), loaded_facts(tmp_path / "first.yaml")
    assert [fact for fact in facts if fact[0] in ("cat", "boss")] == first and len(facts) == 4


SHA256 = {
    "cat.png": "b33685e3149fff757e2bda226500fe616aad8ffa2342aa53ea9ef6653637c593",
    "side.png": "38e60cf2b1f64157e06f04e3580a532065dd6b4549685c8f99f2231946e3ec52",
    "dog.png": "0cfb848bbcafc601782604422de596584e347e5a2f2854ab8d3eedb0ab5b8496",
    "night.png": "e194c0209af6296d9cdb7c9df9bad2b5cbbb4555819d4491e3809910b49b4741",
}


def picture(place: int) -> bytes:
    return get_sources(load("merged"))[list(SHA256.values())[place]]


def test_of_a_later_minor_version_it_is_read_with_a_warning_and_of_a_later_major_one_refused(tmp_path):
    header, body = split_file(path_of("fitted").read_bytes())
    manifest = json.loads(header["__metadata__"]["okedit"])
    for version in ("1.1", "2.0"):
        header["__metadata__"]["okedit"] = seal({**manifest, "format": version, "mood": "sunny"})
        (tmp_path / version).write_bytes(join_file(header, body))
    with pytest.warns(BundleWarning, match=r"format 1\.1.*mood"):
        later = Bundle.load(tmp_path / "1.1", verify=True)
    was = load("fitted")
    assert same(replace(later, manifest=was.manifest), was) and later.manifest.extra == {"mood": "sunny"}
    refused(okedit("show", tmp_path / "2.0"), 3, "format 2.0", "up to 1.x (1.0)", "Upgrade")


def test_a_copy_that_is_changed_leaves_the_file_alone():
    bundle = load("fitted")
    spoilt = copy.deepcopy(bundle)
    spoilt.codebook.picture_keys.zero_()
    assert same(load("fitted"), bundle) and not same(spoilt, bundle)
