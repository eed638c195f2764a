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
from fitted import fitted

from okedit_cli.bundle import Bundle, BundleWarning, read_manifest
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.bundle.site import check_site
from okedit_cli.bundle.sources import get_sources
from okedit_cli.errors import ModelMismatch

FROZEN = Path(__file__).with_name("frozen")
FILES = {
    "fitted": "3379174c0ce5305914b1c960e7a39fba6d9debca04dba2fa257f1e49bfaf4cb3",
    "merged": "701bec70c9ba7e0f81caea64dd03887365c0c46bb7f0b8e222caabe4972637d3",
    "many": "edb20720d3d8b82aa265a8d09ae02a29e043a65aad275be77d46b7304696c990",
}
IDS = {"fitted": ["cat", "capital"], "merged": ["cat", "boss", "cat-2", "heron"],
       "many": [f"many-{number}" for number in range(6)]}  # fmt: skip


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


@pytest.mark.parametrize("name", FILES)
def test_keys_and_values_are_where_they_were(name):
    book = load(name).codebook
    sums = float(book.picture_keys.double().sum()), float(book.value_up.double().abs().sum())
    assert sums == pytest.approx(SUMS[name], abs=1e-4)


def test_saving_it_again_gives_the_same_bytes(tmp_path):
    load("fitted").save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path_of("fitted").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_no_more_is_left_aside(name, tmp_path):
    load(name).save(tmp_path / "again")
    again = Bundle.load(tmp_path / "again", verify=True)
    assert same(again, load(name)) and not any("sketch" in tensor for tensor in again.manifest.tensors)


@pytest.mark.parametrize("name", FILES)
def test_merged_with_itself_it_is_itself(name):
    whole = load(name)
    merged, report = merge([whole, load(name)])
    records = [fact["id"] for fact in whole.manifest.dropped]
    as_then = replace(merged.manifest, format=whole.manifest.format, tensors=whole.manifest.tensors)
    assert same(replace(merged, manifest=as_then), whole) and not report.conflicts
    assert [one for one, _ in report.duplicates] == IDS[name] + records


def test_an_edit_goes_and_those_it_had_cut_out_may_come_back():
    whole = load("merged")
    assert whole.manifest.facts[2]["renamed_from"] == "cat" and whole.manifest.dropped[0]["id"] == "owl"
    left, _ = remove(whole, ["cat-2", "heron"])
    assert [fact["id"] for fact in left.manifest.facts] == ["cat", "boss"]


def test_where_pictures_were_read_otherwise_it_is_refused_with_what_to_do():
    """The scope has changed since: a bundle that would be found no more must not stay silent."""
    loaded = fitted("llava").loaded
    with pytest.raises(ModelMismatch, match="older okedit") as refusal:
        check_site(loaded, load("fitted"))
    assert "okedit edit --from" in refusal.value.hint


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
    for version in ("2.9", "3.0"):
        header["__metadata__"]["okedit"] = seal({**manifest, "format": version, "mood": "sunny"})
        (tmp_path / version).write_bytes(join_file(header, body))
    with pytest.warns(BundleWarning, match=r"format 2\.9.*mood"):
        later = Bundle.load(tmp_path / "2.9", verify=True)
    was = load("fitted")
    assert same(replace(later, manifest=was.manifest), was) and later.manifest.extra == {"mood": "sunny"}
    refused(okedit("show", tmp_path / "3.0"), 3, "format 3.0", "up to 2.x (2.0)", "Upgrade")


def test_a_copy_that_is_changed_leaves_the_file_alone():
    bundle = load("fitted")
    spoilt = copy.deepcopy(bundle)
    spoilt.codebook.picture_keys.zero_()
    assert same(load("fitted"), bundle) and not same(spoilt, bundle)
