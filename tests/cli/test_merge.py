"""okedit merge and okedit remove: the laws of both hold through the command line, and files stay whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from bundle.factory import make_bundle, same
from cli.shipping import okedit, refused

from okedit_cli.bundle import Bundle


@pytest.fixture(autouse=True)
def bundles(monkeypatch, tmp_path):
    """a and b lie apart; c has a's keys and other answers."""
    monkeypatch.chdir(tmp_path)
    for name, seed, away in (("a", 1, 0), ("b", 2, 1000), ("c", 1, 0)):
        bundle = make_bundle(3, seed=seed, prefix=name)
        bundle.codebook.picture_keys += away + 50 * torch.arange(6)[:, None]
        if name == "c":
            bundle.codebook.picture_keys += 0.01
        bundle.save(f"{name}.safetensors")


def merged(*names: str, **options: str) -> Bundle:
    options = {"on_conflict": "newest"} | options
    flags = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), value)]
    result = okedit("merge", *(f"{name}.safetensors" for name in names), "-o", "out.safetensors", *flags)
    assert result.exit_code == 0, result.stderr
    return Bundle.load("out.safetensors", verify=True)


def copy(name: str) -> str:
    Path("out.safetensors").rename(f"{name}.safetensors")
    return name


def test_laws():
    a, ab = Bundle.load("a.safetensors"), merged("a", "b")
    assert len(ab) == 6
    copy("ab")
    assert same(merged("a"), a) and same(merged("a", "a"), a)
    assert same(merged("ab", "a"), merged("b", "a"))  # later is newer, so a's edits go to the end
    merged("b", "c"), copy("bc")
    assert same(merged("ab", "c"), merged("a", "bc")) and same(merged("ab", "c"), merged("a", "b", "c"))


def test_the_table_names_both_facts_the_distance_and_both_radii():
    result = okedit("merge", "a.safetensors", "c.safetensors", "-o", "out.safetensors")
    head, _, *rows = result.stdout.splitlines()
    assert head.split()[:3] == ["first", "second", "answers"]
    assert len(rows) == 3 and rows[0].startswith("a-0") and rows[0].endswith("kept c-0")
    assert "Answer of a-0 / Answer of c-0" in rows[0] and "0.02" in rows[0]
    assert "left out: a-0" in result.stderr
    assert result.exit_code == 5 and "3 edits were left out for newer ones" in result.stderr
    assert [fact["id"] for fact in Bundle.load("out.safetensors").manifest.facts] == ["c-0", "c-1", "c-2"]


@pytest.mark.parametrize(("policy", "ids", "done"), [
    ("newest", ["c-0", "c-1", "c-2"], "kept c-0"), ("first", ["a-0", "a-1", "a-2"], "kept a-0"),
])  # fmt: skip
def test_policies_and_json(policy, ids, done):
    result = okedit(
        "merge", "a.safetensors", "c.safetensors", "-o", "out.safetensors", "--on-conflict", policy, "--json"
    )
    found = json.loads(result.stdout)
    assert [fact["id"] for fact in Bundle.load("out.safetensors").manifest.facts] == ids
    assert (found["bundle"], found["total"], found["edits"]) == ("out.safetensors", 3, len(ids))
    conflict = found["conflicts"][0]
    assert (conflict["first"], conflict["second"], conflict["action"]) == ("a-0", "c-0", done)
    assert len(conflict["distances"]) == 2 and len(conflict["radii"]) == 2


def test_error_refuses_and_still_shows_the_table():
    result = okedit(
        "merge", "a.safetensors", "c.safetensors", "-o", "out.safetensors", "--on-conflict", "error"
    )
    assert result.exit_code == 1 and not Path("out.safetensors").exists()
    assert "refused" in result.stdout and "contradict each other" in result.stderr


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["a.safetensors", "--on-conflict", "best"], 2, "expected one of newest, first, error"),
    (["a.safetensors", "other.safetensors"], 4, "cannot be merged"),
    (["a.safetensors", "none.safetensors"], 3, "no such bundle"),
])  # fmt: skip
def test_refused(arguments, code, words):
    other = make_bundle(prefix="other")
    other.manifest.base["hidden_size"] = 16
    other.save("other.safetensors")
    refused(okedit("merge", *arguments, "-o", "out.safetensors"), code, words)
    assert not Path("out.safetensors").exists()


def test_nothing_but_a_bundle_is_written_over():
    Path("notes.txt").write_text("mine")
    refused(okedit("merge", "a.safetensors", "b.safetensors", "-o", "notes.txt"), 2, "no bundle")
    refused(okedit("merge", "a.safetensors", "b.safetensors", "-o", "hf://me/x"), 2, "on the hub")
    refused(okedit("remove", "a.safetensors", "a-0", "-o", "notes.txt"), 2, "no bundle")
    assert Path("notes.txt").read_text() == "mine"


def test_a_merge_may_replace_what_it_reads():
    wanted = merged("a", "b")
    assert okedit("merge", "a.safetensors", "b.safetensors", "-o", "a.safetensors").exit_code == 0
    assert same(Bundle.load("a.safetensors", verify=True), wanted)


def test_an_edit_removed_leaves_no_trace():
    assert same(merged("a", "b"), merged("a", "b"))
    result = okedit("remove", "out.safetensors", "b-0", "b-1", "b-2")
    assert result.exit_code == 0 and result.stdout == "removed: b-0\nremoved: b-1\nremoved: b-2\n"
    assert same(Bundle.load("out.safetensors", verify=True), Bundle.load("a.safetensors"))
    assert b"b-0" not in Path("out.safetensors").read_bytes()


def test_remove_into_another_file_and_of_all():
    before = Path("a.safetensors").read_bytes()
    assert okedit("remove", "a.safetensors", "a-0", "a-1", "a-2", "-o", "left.safetensors").exit_code == 0
    assert Path("a.safetensors").read_bytes() == before
    assert len(Bundle.load("left.safetensors", verify=True)) == 0
    assert "0 edits" in okedit("show", "left.safetensors").stdout


def test_an_unknown_id_changes_nothing():
    before = Path("a.safetensors").read_bytes()
    refused(okedit("remove", "a.safetensors", "a-0", "a-9"), 2, "a.safetensors: ", "'a-9'", "Did you mean")
    assert Path("a.safetensors").read_bytes() == before


def test_a_full_disk_leaves_the_old_file(monkeypatch):
    import errno
    import os

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = Path("a.safetensors").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    refused(okedit("remove", "a.safetensors", "a-0"), 1, "could not be written (No space left")
    assert Path("a.safetensors").read_bytes() == before and not list(Path().glob(".*.tmp"))
