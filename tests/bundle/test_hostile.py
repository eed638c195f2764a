"""Files from strangers: each gives one clear InvalidBundle, or the bundle that was written."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
import warnings

import pytest
import safetensors.torch
import torch
from bundle.factory import join_file, make_bundle, same, seal, split_file
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.bundle import Bundle, BundleWarning, read_manifest
from okedit_cli.bundle.header import MAX_HEADER
from okedit_cli.errors import InvalidBundle


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    make_bundle().save(path)
    return path.read_bytes()


def refused(path, words: str) -> None:
    """Both readers refuse the file with one sentence that names it, and say what to do."""
    import re

    for read in (read_manifest, Bundle.load, lambda path: Bundle.load(path, verify=True)):
        with pytest.raises(InvalidBundle) as caught:
            read(path)
        assert str(path) in caught.value.message and re.search(words, caught.value.message), (
            caught.value.message
        )
        assert caught.value.hint and "\n" not in caught.value.message and caught.value.exit_code == 3


def test_what_is_not_a_readable_file(tmp_path):
    refused(tmp_path / "none", "no such bundle")
    refused(tmp_path, "folder")
    refused(str(tmp_path / "x\0y"), "cannot be opened")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not an ordinary file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop", "cannot be opened")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path, good):
    (tmp_path / "x").write_bytes(good)
    (tmp_path / "x").chmod(0)
    refused(tmp_path / "x", "no permission")


def test_no_permission_is_told(tmp_path, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    refused(tmp_path / "x", "no permission")


@pytest.mark.parametrize("data, words", [
    (b"", "empty"), (b"x", "not a safetensors file"), (b"PK\x03\x04" + bytes(99), "not a safetensors file"),
    (b"\x80\x04\x95" + bytes(99), "not a safetensors file"),
    (b"facts:\n  - id: x\n", "not a safetensors file"),
    ((2**63).to_bytes(8, "little") + b"{}", "claims"),
    ((MAX_HEADER + 8).to_bytes(8, "little") + b"{}", "claims"),
    ((800).to_bytes(8, "little") + b"{}", "cut short"), ((2).to_bytes(8, "little") + b"{}", "multiple of 8"),
    (join_file(b"{}", b""), "ordinary safetensors"), (join_file(b"{nope", b""), "not valid JSON"),
    (join_file(b'{"a":1,"a":1}', b""), "twice"), (join_file(b'{"a":NaN}', b""), "NaN"),
    (join_file(b'{"a":"\xff"}', b""), "UTF-8"), (join_file(b'{"a":' + b"9" * 5000 + b"}", b""), "JSON|shape"),
    (join_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""), "nested deeper"),
    (join_file(b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", b""), "nested deeper"),
    (join_file(b'{"a":[' + b"1," * 5_000_001 + b"1]}", b""), "5,000,000 values"),
    (join_file(b'{"__metadata__":[]}', b""), "__metadata__"),
    (join_file(b'{"__metadata__":{"okedit":1}}', b""), "text"),
])  # fmt: skip
def test_what_is_not_a_bundle(tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    refused(tmp_path / "x", words)


def test_an_ordinary_safetensors_file(tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "x", {"format": "pt"})
    refused(tmp_path / "x", "ordinary safetensors file")


@pytest.mark.parametrize("change, words", [
    ({"dtype": "F32", "shape": [2], "data_offsets": [0, 12]}, "do not hold"),
    ({"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}, "overlap|gap"),
    ({"dtype": "F32", "shape": [2**62, 2], "data_offsets": [0, 12]}, "do not hold"),
    ({"dtype": "F32", "shape": [2**64], "data_offsets": [0, 12]}, "small lists"),
    ({"dtype": "F32", "shape": [-3], "data_offsets": [0, 12]}, "small lists"),
    ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "small lists"),
    ({"dtype": "F32", "shape": [3.0], "data_offsets": [0, 12]}, "small lists"),
    ({"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}, "small lists"),
    ({"dtype": "F32", "shape": [3], "data_offsets": [12, 0]}, "do not hold"),
    ({"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}, "dtype 'F64'"),
    ({"dtype": ["F32"], "shape": [3], "data_offsets": [0, 12]}, "dtype"),
    ({"dtype": "F32", "shape": [3]}, "must have"), ("F32", "must have"), (None, "must have"),
])  # fmt: skip
def test_a_table_that_lies(tmp_path, good, change, words):
    header, body = split_file(good)
    header["picture_radius"] = change
    (tmp_path / "x").write_bytes(join_file(header, body))
    refused(tmp_path / "x", words)


def test_bytes_missing_or_left_over(tmp_path, good):
    for data, words in (
        (good[:-1], "cut short"),
        (good + b"\0", "belong to no tensor"),
        (good[:5], "not a safetensors"),
    ):
        (tmp_path / "x").write_bytes(data)
        refused(tmp_path / "x", words)


def _forge(good: bytes, change) -> bytes:
    header, body = split_file(good)
    manifest = json.loads(header["__metadata__"]["okedit"])
    change(manifest)
    header["__metadata__"]["okedit"] = seal(manifest)
    return join_file(header, body)


@pytest.mark.parametrize("change, words", [
    (lambda m: m.update(format="3.0"), r"3\.0.*2\.x"), (lambda m: m.update(format="12.3"), r"12\.3"),
    (lambda m: m.update(format="0.9"), "expected"), (lambda m: m.update(format=1), "expected"),
    (lambda m: m.pop("format"), "expected"), (lambda m: m.pop("facts"), "lacks facts"),
    (lambda m: m.pop("tensors"), "lacks tensors"), (lambda m: m["facts"].pop(), "2 facts"),
    (lambda m: m["facts"].append(dict(m["facts"][0])), "taken"),
    (lambda m: m["facts"][0].pop("answer"), "answer"),
    (lambda m: m["facts"][0].update(prompt=None), "prompt"),
    (lambda m: m["facts"][0].update(id=7), "id must be"),
    (lambda m: m.update(facts={}), "facts must be"), (lambda m: m.update(facts=[1, 2, 3]), "JSON object"),
    (lambda m: m.update(base=[]), "base must be"), (lambda m: m["base"].update(layers=True), "layers"),
    (lambda m: m.update(method=None), "method must be"), (lambda m: m.update(canary=[3]), "canary"),
    (lambda m: m["tensors"].pop("value_up"), "value_up"), (lambda m: m["tensors"].update(x=1), "sha256"),
    (lambda m: m["tensors"].update(x={"sha256": "0" * 63 + "1"}), "'x'"),
    (lambda m: m["tensors"]["value_up"].update(shape=[3, 2, 9]), "value_up"),
    (lambda m: m["facts"][0].update(answer="\ud800"), "UTF-8"),
])  # fmt: skip
def test_a_manifest_that_lies_with_a_checksum_that_fits(tmp_path, good, change, words):
    (tmp_path / "x").write_bytes(_forge(good, change))
    refused(tmp_path / "x", words)


def test_a_changed_answer_is_noticed(tmp_path, good):
    (tmp_path / "x").write_bytes(good.replace(b"Answer of fact-1", b"Answer of fact-9"))
    refused(tmp_path / "x", "changed after it was written")


def test_unknown_fields_warn_and_are_kept(tmp_path, good):
    (tmp_path / "x").write_bytes(
        _forge(good, lambda m: (m.update(format="1.7", mood="sunny"), m["facts"][0].update(hue=3)))
    )
    with pytest.warns(BundleWarning, match="1.7.*mood.*hue"):
        manifest = read_manifest(tmp_path / "x")
    assert manifest.unknown == ["mood", "facts[].hue"]
    with pytest.warns(BundleWarning):
        Bundle.load(tmp_path / "x").save(tmp_path / "y")
    with pytest.warns(BundleWarning):
        assert read_manifest(tmp_path / "y").extra == {"mood": "sunny"}


def test_an_unknown_tensor_warns_and_is_kept(tmp_path):
    bundle = make_bundle()
    bundle.extras["mood"] = torch.ones(3)
    bundle.save(tmp_path / "x")
    with pytest.warns(BundleWarning, match="tensor mood"):
        assert same(Bundle.load(tmp_path / "x"), bundle)


@pytest.mark.parametrize("name, value, words", [
    ("value_up", float("nan"), "not finite"), ("picture_keys", float("inf"), "not finite"),
    ("question_radius", float("nan"), "not a number"), ("picture_radius", -1.0, "negative"),
    ("picture_radius", float("-inf"), "negative"), ("canary_picture", float("nan"), "not finite"),
])  # fmt: skip
def test_numbers_that_are_none_in_a_file_whose_checksums_fit(tmp_path, monkeypatch, name, value, words):
    bundle = make_bundle()
    bundle.tensors()[name].reshape(-1)[1] = value
    monkeypatch.setattr("okedit_cli.bundle.tensors.check_finite", lambda *_: None)
    bundle.save(tmp_path / "x")
    monkeypatch.undo()
    with pytest.raises(InvalidBundle, match=words):
        Bundle.load(tmp_path / "x", verify=True)


def test_an_owner_that_points_nowhere(tmp_path, good):
    header, body = split_file(good)
    start, end = header["picture_owner"]["data_offsets"]
    for owner in (99, -1, 2**63 - 1):
        data = body[:start] + owner.to_bytes(8, "little", signed=True) + body[start + 8 :]
        (tmp_path / "x").write_bytes(join_file(header, data))
        with pytest.raises(InvalidBundle, match=f"{tmp_path}.*picture_owner"):
            Bundle.load(tmp_path / "x")


def test_a_giant_claim_allocates_nothing(tmp_path, good):
    header, body = split_file(good)
    header["value_up"] = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    (tmp_path / "x").write_bytes(join_file(header, body))
    tracemalloc.start()
    refused(tmp_path / "x", "overlap|cut short|gap")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def _same_or_refused(path, data: bytes, original: Bundle) -> None:
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BundleWarning)
            back = Bundle.load(path, verify=True)
    except InvalidBundle as refusal:
        assert str(path) in refusal.message and refusal.hint
        with pytest.raises(InvalidBundle):
            Bundle.load(path, verify=True)
    else:
        assert same(back, original)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_bytes_are_refused_or_change_nothing(tmp_path_factory, good, data):
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1) | st.integers(0, min(40, len(changed) - 1)))
        kind = data.draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        if kind == "set":
            changed[place] = data.draw(st.integers(0, 255))
        elif kind == "delete":
            del changed[place : place + data.draw(st.integers(1, 16))]
        elif kind == "insert":
            changed[place:place] = data.draw(st.binary(min_size=1, max_size=16))
        else:
            del changed[place:]
        if not changed:
            break
    _same_or_refused(tmp_path_factory.mktemp("m") / "x", bytes(changed), make_bundle())


def test_a_slice_of_the_fuzz(tmp_path, good):
    """Header-aware damage, seeded: tokens swapped, numbers blown up, pieces of the file repeated."""
    rng = random.Random(5)
    length = int.from_bytes(good[:8], "little")
    tokens = [
        b"0",
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"18446744073709551616",
        b"[" * 40,
        b'"F16"',
    ]
    original = make_bundle()
    for _ in range(400):
        raw = bytearray(good[8 : 8 + length].rstrip())
        for _ in range(rng.randint(1, 3)):
            places = [i for i, c in enumerate(raw) if c in b'0123456789"[]{},:']
            place = rng.choice(places)
            if rng.random() < 0.5:
                raw[place : place + rng.randint(0, 3)] = rng.choice(tokens)
            else:
                other = rng.choice(places)
                raw[place:place] = raw[other : other + rng.randint(1, 60)]
        body = (
            good[8 + length :]
            if rng.random() < 0.8
            else good[8 + length : rng.randint(8 + length, len(good))]
        )
        _same_or_refused(tmp_path / "x", join_file(bytes(raw), body), original)
