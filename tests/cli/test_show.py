"""okedit show and okedit verify: what they tell, without torch where they can, and what they refuse."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios

import pytest
from bundle.factory import BASE, make_bundle
from cli.shipping import Fitter, bundle_of, okedit, refused, write_facts

import okedit_cli
from okedit_cli.bundle import BundleWarning
from okedit_cli.bundle.sources import put_sources
from okedit_cli.errors import ModelMismatch
from okedit_cli.facts import load_facts


@pytest.fixture(autouse=True)
def bundle(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    make_bundle().save("a.safetensors")


def test_show_tells_the_facts_and_the_model(tmp_path):
    made = bundle_of(load_facts(write_facts(tmp_path)).facts)
    made.manifest.facts[0]["report"] = {
        "took": False,
        "positives": [3, 4],
        "negatives": [19, 20],
        "radius": 0.5,
    }
    made.manifest.facts[0]["reach"] = "kind"
    made.manifest.facts[1]["report"] = {"took": True, "fragile": ["sampling"]}
    made.manifest.facts[1]["prompt"] = "Who\nleads " + "x" * 200
    made.save("b.safetensors")
    result = okedit("show", "b.safetensors")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "2 edits" in lines[0] and "okedit-mini" in lines[1] and "key layer 1" in lines[3]
    [cat] = [line.split() for line in lines if line.startswith("cat ")]
    digest = made.manifest.facts[0]["picture_sha256"][:12]
    assert cat[-6:] == ["kind", digest, "no", "3/4", "19/20", "0.5"]
    [boss] = [line for line in lines if line.startswith("boss ")]
    assert "Who leads xxx" in boss and boss.split()[-7:] == ["words", "none", "greedy", "only", "-", "-", "-"]


def test_show_as_json_is_the_manifest():
    found = json.loads(okedit("show", "a.safetensors", "--json").stdout)
    assert found["base"] == BASE and [fact["id"] for fact in found["facts"]] == ["fact-0", "fact-1", "fact-2"]
    assert found["bundle"] == "a.safetensors" and found["tensors"]["value_up"]["shape"] == [3, 2, 8]


def test_show_needs_no_torch():
    code = (
        "import sys\nfrom okedit_cli.cli import main\ntry: main(['show', 'a.safetensors'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'transformers', 'safetensors'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0 and "fact-2" in run.stdout, run.stderr


@pytest.mark.parametrize("command", [["show"], ["verify"], ["export", "--to", "y"],
                                     ["remove", "id", "-o", "y"], ["merge", "-o", "y"]])  # fmt: skip
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(99), b"\xff" * 100, None])
def test_what_is_no_bundle_is_refused_in_one_sentence(tmp_path, command, data):
    if data is not None:
        (tmp_path / "x").write_bytes(data)
    name, *options = command
    refused(okedit(name, "x", *options), 3, "x")
    assert not (tmp_path / "y").exists()


def test_verify_says_that_a_bundle_is_whole():
    assert (
        okedit("verify", "a.safetensors").stdout == "a.safetensors: whole: 3 facts, 15 tensors, 0 pictures\n"
    )
    found = json.loads(okedit("verify", "a.safetensors", "--json").stdout)
    assert (found["facts"], found["model"], found["warnings"]) == (3, None, [])


def test_verify_finds_one_flipped_bit_in_the_values(tmp_path):
    data = bytearray((tmp_path / "a.safetensors").read_bytes())
    data[-9] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    refused(okedit("verify", "a.safetensors"), 3, "does not match its checksum")


def test_verify_looks_at_the_pictures():
    bundle = make_bundle()
    put_sources(bundle, [b"picture"])
    bundle.manifest.sources[0]["size"] = 3
    bundle.save("b.safetensors")
    refused(okedit("verify", "b.safetensors"), 3, "b.safetensors: A picture in the bundle")


def attaching(monkeypatch, outcome):
    import contextlib

    @contextlib.contextmanager
    def attach(loaded, bundles):
        import warnings

        if isinstance(outcome, Warning):
            warnings.warn(outcome, stacklevel=2)
        elif outcome:
            raise outcome
        yield

    monkeypatch.setitem(okedit_cli.__dict__, "attach", attach)


def test_verify_with_a_model_that_fits(monkeypatch):
    Fitter(monkeypatch)
    attaching(monkeypatch, None)
    result = okedit("verify", "a.safetensors", "-m", "some/model")
    assert result.exit_code == 0 and "it belongs to some/model" in result.stdout


def test_verify_with_another_model(monkeypatch):
    Fitter(monkeypatch, base={**BASE, "hidden_size": 16})
    attaching(monkeypatch, None)
    result = okedit("verify", "a.safetensors", "-m", "some/model")
    assert result.exit_code == 4 and result.stdout == ""
    assert "a.safetensors: The bundle does not belong to this model" in result.stderr
    assert "was 8" in result.stderr and "16" in result.stderr


def test_verify_strict(monkeypatch):
    Fitter(monkeypatch, base={**BASE, "dtype": "bfloat16"})
    attaching(monkeypatch, None)
    result = okedit("verify", "a.safetensors", "-m", "some/model")
    assert result.exit_code == 0 and "warning: a.safetensors: the dtype differs" in result.stderr
    assert "some/model (same architecture)" in result.stdout
    assert okedit("verify", "a.safetensors", "-m", "some/model", "--strict").exit_code == 4


def test_verify_tells_what_attach_tells_once(monkeypatch):
    from okedit_cli.bundle import FitWarning

    Fitter(monkeypatch, base={**BASE, "dtype": "bfloat16"})
    attaching(monkeypatch, FitWarning("the dtype differs"))
    found = json.loads(okedit("verify", "a.safetensors", "-m", "some/model", "--json").stdout)
    assert found["fit"] == "same architecture" and len(found["warnings"]) == 1


def test_verify_tells_what_the_canary_says(monkeypatch):
    Fitter(monkeypatch)
    attaching(monkeypatch, BundleWarning("the keys lie 0.06 away"))
    found = json.loads(okedit("verify", "a.safetensors", "-m", "some/model", "--json").stdout)
    assert found["warnings"] == ["the keys lie 0.06 away"]
    attaching(monkeypatch, ModelMismatch("Its keys lie 0.9 away."))
    result = okedit("verify", "a.safetensors", "-m", "some/model")
    assert result.exit_code == 4 and "error: a.safetensors: Its keys lie 0.9 away." in result.stderr


@pytest.mark.parametrize("width", [80, 30])
def test_ids_stay_whole_on_a_narrow_terminal(tmp_path, width):
    made = bundle_of(load_facts(write_facts(tmp_path)).facts)
    made.manifest.facts[0]["id"] = "language-of-the-old-parrot"
    made.manifest.facts[0]["prompt"] = "Which language does the parrot speak? " * 3
    made.save("b.safetensors")
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    code = "from okedit_cli.cli import main\nmain(['show', 'b.safetensors'])"
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    run = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, env=environment)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # the terminal is gone
        while part := os.read(master, 4096):
            seen += part
    os.close(master)
    assert run.wait() == 0 and b"language-of-the-old-parrot" in seen
    assert all(word in seen.decode() for word in ("language", "answered", "took"))
