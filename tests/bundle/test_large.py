"""Bundles of many edits: facts in a tensor and read one at a time, sketches that find what may fire."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from bundle.factory import join_file, make_bundle, make_codebook, same, seal, split_file
from cli.shipping import okedit

from okedit_cli.bundle import Bundle, BundleWarning, read_manifest
from okedit_cli.bundle.merge import merge
from okedit_cli.bundle.remove import remove
from okedit_cli.errors import InvalidBundle


@pytest.fixture(autouse=True)
def many(monkeypatch):
    """Two edits are many here."""
    monkeypatch.setattr("okedit_cli.bundle.bundle.MOST", 2)
    monkeypatch.setattr("okedit_cli.bundle.bundle.SKETCHED", 2)


def test_what_is_written_is_read(tmp_path):
    bundle = make_bundle(5)
    bundle.save(tmp_path / "x")
    header, _ = split_file((tmp_path / "x").read_bytes())
    manifest = json.loads(header["__metadata__"]["okedit"])
    assert "facts" not in manifest and {"facts", "question_cover_centres"} <= set(manifest["tensors"])
    read = Bundle.load(tmp_path / "x", verify=True)
    assert same(read, bundle) and same(bundle, read)
    assert [fact["id"] for fact in read.manifest.facts[1:3]] == ["fact-1", "fact-2"]
    assert read.manifest.facts[-1]["id"] == "fact-4" and len(read.manifest) == 5
    read.save(tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_one_fact_is_parsed_when_one_is_asked_for(tmp_path, monkeypatch):
    from okedit_cli.bundle import lines

    make_bundle(5).save(tmp_path / "x")
    parsed, real = [], lines.parse_all
    monkeypatch.setattr(lines, "parse_all", lambda texts, *rest: parsed.extend(texts) or real(texts, *rest))
    manifest = Bundle.load(tmp_path / "x").manifest
    assert parsed == [] and manifest.facts[3]["id"] == manifest.facts[3]["id"] == "fact-3"
    assert len(parsed) == 1
    assert [fact["id"] for fact in manifest.facts] == [f"fact-{i}" for i in range(5)] and len(parsed) == 5


def test_a_fact_that_is_changed_is_written_as_it_is_now(tmp_path):
    make_bundle(4).save(tmp_path / "x")
    bundle = Bundle.load(tmp_path / "x")
    bundle.manifest.facts[2]["answer"] = "Kim"
    bundle.save(tmp_path / "y")
    assert [fact["answer"] for fact in Bundle.load(tmp_path / "y").manifest.facts][2] == "Kim"


def test_commands_read_them_without_torch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_bundle(5).save("x.safetensors")
    assert "5 edits" in okedit("show", "x.safetensors").stdout
    assert len(json.loads(okedit("show", "x.safetensors", "--json").stdout)["facts"]) == 5
    code = (
        "import sys; from okedit_cli.bundle import read_manifest; "
        "print(list(read_manifest('x.safetensors').facts)[4]['id']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "fact-4\n"), done.stderr


def test_merge_and_remove_do_with_many_what_they_do_with_few(tmp_path, monkeypatch):
    made = [make_bundle(6, seed=seed, prefix=prefix) for seed, prefix in ((1, "a"), (2, "b"), (3, "a"))]
    found = []
    for most in (1000, 2):
        monkeypatch.setattr("okedit_cli.bundle.bundle.MOST", most)
        monkeypatch.setattr("okedit_cli.bundle.bundle.SKETCHED", most)
        for number, bundle in enumerate(made):
            bundle.save(tmp_path / str(number))
        merged, _ = merge([Bundle.load(tmp_path / str(number)) for number in range(3)])
        merged.save(tmp_path / "merged")
        left, _ = remove(Bundle.load(tmp_path / "merged", verify=True), [merged.manifest.facts[0]["id"]])
        left.save(tmp_path / "left")
        found.append(Bundle.load(tmp_path / "left", verify=True))
    assert len(found[0].manifest.dropped) > 2 and same(found[1], found[0])


def test_the_index_of_a_file_decides_as_the_codebook(tmp_path, monkeypatch):
    from okedit_cli.edits.index import Index

    wide = make_bundle(40, seed=5)
    for radius in (wide.codebook.picture_radius, wide.codebook.question_radius):
        radius *= 2
    wide.save(tmp_path / "x")
    monkeypatch.setattr(Index, "build", None)  # the sketches of the file are enough
    bundle = Bundle.load(tmp_path / "x")
    book, hits = bundle.codebook, 0
    for seed in range(200):
        by = torch.Generator().manual_seed(seed)
        prompt = torch.randn(5, generator=by), torch.randn(6, generator=by)
        found = book.match(*prompt)
        assert bundle.index().match(*prompt) == (found if found.fires else None)
        hits += found.fires
    assert 20 < hits < 200


def test_another_codebook_gets_an_index_of_its_own(tmp_path):
    make_bundle(5).save(tmp_path / "x")
    bundle = Bundle.load(tmp_path / "x")
    other = make_codebook(5, seed=9)
    moved = replace(bundle, codebook=other)
    assert moved.index().book is other
    assert not torch.equal(moved.index().question.centres, bundle.index().question.centres)
    moved.save(tmp_path / "y")
    again = Bundle.load(tmp_path / "y").index()
    assert torch.equal(again.question.centres, moved.index().question.centres)


def test_few_edits_have_no_index(monkeypatch):
    monkeypatch.undo()
    assert make_bundle(5).index() is None


def forged(data: bytes, text: bytes | None = None, change=None) -> bytes:
    """The file with other lines of facts, every checksum made to fit."""
    header, body = split_file(data)
    manifest = json.loads(header["__metadata__"]["okedit"])
    info = header["facts"]
    start, end = info["data_offsets"]
    if text is not None:
        text = text[: end - start].ljust(end - start, b" ") if text[-1:] != b"\n" else text.rjust(end - start)
        assert len(text) == end - start
        body = body[:start] + text + body[end:]
        manifest["tensors"]["facts"]["sha256"] = hashlib.sha256(text).hexdigest()
    if change:
        change(manifest)
    header["__metadata__"]["okedit"] = seal(manifest)
    return join_file(header, body)


ROW = json.dumps({"id": "x", "prompt": "y", "answer": "z"}).encode() + b"\n"


@pytest.mark.parametrize("text, words", [
    (ROW * 5, "empty or taken: 'x'"), (b"{]\n" * 5, "line of facts is not valid JSON"),
    (b"[" * 400 + b"]" * 400 + b"\n" + ROW * 4, "nested deeper"), (b'{"id":NaN}\n' * 5, "NaN"),
    (b"7\n" * 5, "must be a JSON object"), (b'{"id":"x"}\n' * 5, "prompt must be"),
    (b'{"a":1,"a":2}\n' * 5, "twice"), (b"\xff\n" * 5, "UTF-8"), (ROW * 4 + b"{}", "cut short"),
    (ROW * 4, "4 facts"),
])  # fmt: skip
def test_lines_that_lie_with_checksums_that_fit(tmp_path, text, words):
    make_bundle(5).save(tmp_path / "good")
    (tmp_path / "x").write_bytes(forged((tmp_path / "good").read_bytes(), text))
    for read in (lambda path: list(read_manifest(path).facts), lambda path: Bundle.load(path, verify=True)):
        with pytest.raises(InvalidBundle, match=words) as caught:
            read(tmp_path / "x")
        assert str(tmp_path / "x") in caught.value.message and caught.value.hint


def test_lines_that_do_not_match_their_checksum(tmp_path):
    make_bundle(5).save(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data.replace(b"Answer of fact-1", b"Answer of fact-9"))
    with pytest.raises(InvalidBundle, match="do not match their checksum"):
        read_manifest(tmp_path / "x")
    (tmp_path / "x").write_bytes(forged(data, change=lambda manifest: manifest.update(facts=[])))
    with pytest.raises(InvalidBundle, match="listed twice"):
        read_manifest(tmp_path / "x")


def test_unknown_fields_of_facts_are_told_when_all_are_read(tmp_path):
    bundle = make_bundle(5)
    bundle.manifest.facts[3]["hue"] = 3
    bundle.save(tmp_path / "x")
    with pytest.warns(BundleWarning, match="hue"):
        assert list(read_manifest(tmp_path / "x").facts)[3]["hue"] == 3


def test_sketches_that_do_not_fit_are_refused(tmp_path):
    bundle = make_bundle(5)
    bundle._sketches = bundle.codebook, {**bundle.index().tensors(), "question_cover_step": torch.ones(2)}
    bundle._index = None
    with pytest.raises(InvalidBundle, match="question_cover_step"):
        bundle.index()
