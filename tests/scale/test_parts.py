"""What travels to workers, what is kept of their work, and options that make no sense."""

from __future__ import annotations

import os
from pathlib import Path

import fitted
import pytest
from scale.facts import written
from typer.testing import CliRunner

import okedit_cli
from okedit_cli.cli.app import build
from okedit_cli.errors import OkeditError, UsageError
from okedit_cli.scale.parcel import contents, digests, paths_in, unpack, with_paths
from okedit_cli.scale.state import State, key_of
from okedit_cli.scale.worker import Job, Worker


def test_facts_reach_a_machine_without_their_files(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    facts = list(okedit_cli.load_facts(written(tmp_path / "there")).facts)
    files = digests(facts)
    sent = contents(files)
    for path in files:
        path.unlink()
    places = unpack(files, tmp_path / "here", lambda: sent)
    found = with_paths(facts, places)
    assert {path.parent for path in paths_in(found)} == {tmp_path / "here"}
    for before, after in zip(paths_in(facts), paths_in(found), strict=True):
        assert after.read_bytes() == sent[files[before]]
    assert [places[path] for path in sorted(places)] == sorted(places.values())
    assert [fact.prompt for fact in found] == [fact.prompt for fact in facts]


def test_files_that_are_there_are_not_fetched(tmp_path):
    facts = list(okedit_cli.load_facts(written(tmp_path)).facts)

    def fetch():
        raise AssertionError("fetched")

    assert unpack(digests(facts), tmp_path, fetch) == {}


def test_a_worker_tells_errors_of_users_in_words():
    job = Job("./no-such-folder", {"device": "cpu", "dtype": "auto", "revision": None}, [], {})
    kind, name, message, *_ = Worker(1, job).call("describe")
    assert (kind, name) == ("error", "ModelError") and "no-such-folder" in message


def test_a_worker_describes_its_model():
    job = Job(str(fitted.folder("gpt2")), {"device": "cpu", "dtype": "auto", "revision": None}, [], {})
    made, words = Worker(1, job).call("describe")
    assert made == "made" and words["fingerprint"]["layers"] == 4 and str(os.getpid()) in words["place"]


def test_a_state_has_one_owner_and_goes_when_nothing_is_done(tmp_path):
    folder = tmp_path / "x.shards"
    with State(folder) as state:
        with pytest.raises(OkeditError, match="another okedit is at work"):
            State(folder)
        assert state.get("fit", "a") is None and state.is_empty()
    assert not folder.exists()
    with State(folder) as state:
        state.put("fit", "a", {"facts": {"f": 1}}, b"data")
    with State(folder) as state:
        assert state.get("fit", "a")["facts"] == {"f": 1} and state.file("fit", "a").read_bytes() == b"data"
        (folder / "fit-b.json").write_text('{"torn')
        assert [part["key"] for part in state.parts("fit")] == ["a"]
    (tmp_path / "y.shards").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        State(tmp_path / "y.shards")


def test_keys_depend_on_all_of_the_content():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1, "b": 3})


@pytest.mark.parametrize(
    "words, told",
    [
        ("edit facts.yaml --shard 0/4", "--shard 0/4 is no shard"),
        ("edit facts.yaml --shard 2", "--shard 2 is no shard"),
        ("edit facts.yaml --workers 2", "go with --ray"),
        ("edit facts.yaml --append x.safetensors --shard 1/2", "--append adds to a bundle in one process"),
        ("eval facts.yaml --sequential --shard 1/2", "are not held at once"),
        ("eval facts.yaml --method all --shard 1/2", "are not held at once"),
    ],
)
def test_options_that_make_no_sense(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(written(Path(tmp_path)).parent)
    found = CliRunner().invoke(build(), words.split())
    assert found.exit_code == 2 and told in found.stderr


def test_without_ray_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path).parent)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    for command in ("edit", "eval"):
        found = CliRunner().invoke(build(), [command, "facts.yaml", "--ray"])
        assert found.exit_code == 2
        assert found.stderr == "error: Ray is not installed: pip install 'okedit[ray]'.\n"


def test_nobody_at_an_address_is_told_at_once(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'okedit[ray]'")
    monkeypatch.chdir(written(tmp_path).parent)
    words = ["edit", "facts.yaml", "-m", str(fitted.folder("gpt2")), "--ray", "localhost:1"]
    found = CliRunner().invoke(build(), words)
    assert found.exit_code == 2 and "There is no Ray at localhost:1: " in found.stderr
    assert not list(tmp_path.rglob("*.shards"))
