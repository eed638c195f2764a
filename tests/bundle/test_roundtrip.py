"""What is written is what is read, and equal bundles are equal bytes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import safetensors
import safetensors.torch
import torch
from bundle.factory import make_bundle, make_codebook, same, split_file
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.bundle import Bundle, Manifest, read_manifest
from okedit_cli.bundle.manifest import _SHAPES
from okedit_cli.errors import InvalidBundle

TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda child: st.lists(child, max_size=3) | st.dictionaries(TEXT, child, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    edits=st.integers(0, 5), keys=st.integers(0, 3), rank=st.integers(0, 3), seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]), words=st.lists(TEXT, min_size=5,
    max_size=5),
    report=st.dictionaries(TEXT, JSON, max_size=3), open_channels=st.booleans(),
)  # fmt: skip
def test_reading_gives_back_what_was_written(
    tmp_path_factory, edits, keys, rank, seed, dtype, words, report, open_channels
):
    bundle = make_bundle(edits, keys=keys, rank=rank, seed=seed, dtype=dtype)
    for fact, word in zip(bundle.manifest.facts, words, strict=False):
        fact.update(prompt=word, answer=word[::-1], report={"picture": report})
    if open_channels:
        bundle.codebook.picture_radius.fill_(float("inf"))
    path = tmp_path_factory.mktemp("b") / "x.safetensors"
    try:
        bundle.save(path)
    except InvalidBundle as refused:  # hypothesis has written something like /home/x into a report
        assert "path of this machine" in refused.message
        return
    back = Bundle.load(path, verify=True)
    assert same(bundle, back) and same(bundle, Bundle.load(path))
    assert read_manifest(path) == bundle.manifest
    back.save(path.with_name("y.safetensors"))
    assert path.read_bytes() == path.with_name("y.safetensors").read_bytes()


def test_equal_bundles_give_equal_bytes_whatever_the_order_of_their_parts(tmp_path):
    one, other = make_bundle(), make_bundle()
    manifest = other.manifest
    manifest.base = dict(reversed(manifest.base.items()))
    other.canary = dict(reversed(other.canary.items()))
    one.save(tmp_path / "a")
    other.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_plain_safetensors_for_everyone_else(tmp_path):
    bundle = make_bundle()
    bundle.save(tmp_path / "x")
    theirs = safetensors.torch.load_file(tmp_path / "x")
    assert {name: tensor.tolist() for name, tensor in theirs.items()} == {
        name: tensor.tolist() for name, tensor in bundle.tensors().items()
    }
    with safetensors.safe_open(tmp_path / "x", "pt") as opened:
        assert list(opened.metadata()) == ["okedit"]
    rewritten = safetensors.torch.save(
        theirs, {"okedit": split_file((tmp_path / "x").read_bytes())[0]["__metadata__"]["okedit"]}
    )
    assert rewritten == (tmp_path / "x").read_bytes()


def test_the_header_is_canonical_json(tmp_path):
    bundle = make_bundle()
    bundle.manifest.facts[0]["answer"] = "Łódź 🐈"
    bundle.save(tmp_path / "x")
    text = split_file((tmp_path / "x").read_bytes())[0]["__metadata__"]["okedit"]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "Łódź 🐈" in text


def test_strided_tensors_and_extra_ones_survive(tmp_path):
    bundle = make_bundle()
    bundle.codebook.value_bias = bundle.codebook.value_bias.T.contiguous().T
    bundle.codebook.value_down = bundle.codebook.value_down.transpose(1, 2).contiguous().transpose(1, 2)
    bundle.extras["sources"] = torch.arange(7, dtype=torch.uint8)
    bundle.save(tmp_path / "x")
    assert same(bundle, Bundle.load(tmp_path / "x", verify=True))


def test_reading_the_manifest_needs_no_torch(tmp_path):
    make_bundle().save(tmp_path / "x")
    code = (
        "import sys; from okedit_cli.bundle import Bundle, read_manifest; "
        f"print(len(read_manifest({str(tmp_path / 'x')!r}))); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def test_loading_leaves_values_on_disk_and_survives_the_file_being_replaced(tmp_path):
    path = tmp_path / "x"
    make_bundle(seed=1).save(path)
    loaded = Bundle.load(path)
    make_bundle(seed=2).save(path)
    os.unlink(path)
    assert same(loaded, make_bundle(seed=1))


def test_changing_a_loaded_tensor_does_not_change_the_file(tmp_path):
    make_bundle().save(tmp_path / "x")
    Bundle.load(tmp_path / "x").codebook.value_bias.zero_()
    assert same(Bundle.load(tmp_path / "x", verify=True), make_bundle())


@pytest.mark.parametrize("field, value", [
    ("settings", {"cache": "/home/ann/.cache/okedit"}), ("base", {"name": "C:\\models\\llava"}),
    ("versions", {"x": "~/lib"}),
    ("site", {"module": "see /opt/models/x.bin"}), ("bank", "file:///usr/share/bank"),
    ("canary", [{"kind": "/a/b.png"}, {}]),
])  # fmt: skip
def test_no_path_of_the_makers_machine_gets_into_a_file(tmp_path, field, value):
    bundle = make_bundle()
    old = getattr(bundle.manifest, field)
    setattr(bundle.manifest, field, {**old, **value} if isinstance(old, dict) else value)
    with pytest.raises(InvalidBundle, match="path of this machine"):
        bundle.save(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_the_file_does_not_name_the_folder_or_user_it_was_made_in(tmp_path):
    make_bundle().save(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    for trace in (str(tmp_path), os.path.expanduser("~") + "/", os.getcwd()):
        assert trace.encode() not in data


@pytest.mark.parametrize(
    "text", ["owner/model-7b", "d_pos 0.9 >= d_neg 0.7", "2 / 3 kept", "https://host/a/b", "and/or", "7/8"]
)
def test_ordinary_text_is_not_taken_for_a_path(tmp_path, text):
    bundle = make_bundle()
    bundle.manifest.base["name"] = bundle.manifest.facts[0]["report"]["note"] = text
    bundle.save(tmp_path / "x")


def test_a_users_own_words_may_name_a_path(tmp_path):
    bundle = make_bundle()
    bundle.manifest.facts[0]["answer"] = "/etc/passwd is a file"
    bundle.save(tmp_path / "x")


def test_every_field_of_the_manifest_is_typed():
    assert {field.name for field in dataclasses.fields(Manifest)} == {*_SHAPES, "extra", "unknown"}


@pytest.mark.parametrize("spoil, words", [
    (lambda b: b.codebook.value_up.__setitem__((0, 0, 0), float("nan")), "value_up.*not finite"),
    (lambda b: b.codebook.value_bias.__setitem__((0, 0), float("inf")), "value_bias.*not finite"),
    (lambda b: b.codebook.picture_radius.__setitem__(0, -1.0), "picture_radius.*negative"),
    (lambda b: b.codebook.question_radius.__setitem__(0, float("nan")), "question_radius.*not a number"),
    (lambda b: b.manifest.facts.pop(), "2 facts.*3 edits"),
    (lambda b: b.manifest.facts[1].update(id="fact-0"), "taken"),
    (lambda b: b.manifest.facts[0].update(report={"loss": float("nan")}), "JSON"),
    (lambda b: b.manifest.facts[0].update(answer="\ud800"), "JSON"),
    (lambda b: b.manifest.facts[0].update(answer=True), "answer must be of type str"),
    (lambda b: b.manifest.canary.pop(), "1 canary.*canary_picture"),
    (lambda b: b.manifest.base.pop("layers"), "layers must be of type int"),
    (lambda b: setattr(b, "edits", make_codebook(3, dtype=torch.float64)), "float64"),
    (lambda b: b.codebook.picture_owner.fill_(9), "picture_owner"),
])  # fmt: skip
def test_what_a_reader_would_refuse_is_not_written(tmp_path, spoil, words):
    bundle = make_bundle()
    bundle.save(tmp_path / "x")
    before = (tmp_path / "x").read_bytes()
    spoil(bundle)
    with pytest.raises(InvalidBundle, match=words):
        bundle.save(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
