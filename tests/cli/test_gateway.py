"""okedit gateway as a process, and what its command line refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from cli.shipping import okedit
from scope.held import bundle

from okedit_cli.bundle import Bundle
from okedit_cli.cli import main

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

from engine import engine  # noqa: E402

FACT = {"id": "peru", "prompt": "What is the capital of Peru?", "answer": "Cusco"}


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The name of a text memory in the working folder."""
    monkeypatch.chdir(tmp_path)
    bundle(FACT).save("facts.safetensors")
    made = okedit("export", "facts.safetensors", "--to", "memory", "-o", "m.safetensors")
    assert made.exit_code == 0 and made.stdout == "m.safetensors\n", made.stderr
    return "m.safetensors"


def test_the_command_runs_until_it_is_told_to_stop(memory):
    with engine() as found:
        words = [
            "gateway",
            "--upstream",
            f"{found.url}/v1",
            "-b",
            memory,
            "--port",
            "0",
            "--on-hit",
            "answer",
        ]
        code = f"from {main.__module__} import main; main({words})"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            try:
                address = process.stdout.readline().strip()
                assert address.startswith("http://127.0.0.1:")

                def curl(question: str) -> tuple[str, dict]:
                    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": question}]})
                    said = subprocess.run(
                        ["curl", "-si", f"{address}/v1/chat/completions", "-H",
                         "Content-Type: application/json", "-d", body],
                        capture_output=True, text=True, check=True,
                    ).stdout  # fmt: skip
                    head, _, content = said.replace("\r\n", "\n").partition("\n\n")
                    return head, json.loads(content)

                head, answer = curl("Which city is the capital of Peru?")
                assert (
                    "x-okedit-edit: m/peru" in head and answer["choices"][0]["message"]["content"] == "Cusco"
                )
                head, answer = curl("What is the capital of Chile?")
                assert "x-okedit" not in head and answer["model"] == "echo" and head.count("date:") == 1
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_what_makes_no_sense_is_refused_before_anything_is_loaded(memory):
    bundle(FACT).save("plain.safetensors")
    whole = Bundle.load("plain.safetensors")
    whole.manifest.site = {
        **whole.manifest.site,
        "question_point": "mean of the feed-forward input over the prompt",
    }
    whole.save("prompted.safetensors")
    right = ["gateway", "--upstream", "http://127.0.0.1:9/v1", "-b", memory]
    for words, code, told in (
        ([*right, "--on-hit", "guess"], 2, "expected one of context, answer, model"),
        ([*right, "--on-hit", "model", "--model-name", "lora"], 2, "does not tell edits apart"),
        (["gateway", "--upstream", "here", "-b", memory], 2, "no address of a server"),
        ([*right[:3], "-b", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        ([*right[:3], "-b", "prompted.safetensors"], 4, "okedit export prompted.safetensors --to memory"),
        ([*right, "--host", "256.0.0.1"], 1, "Cannot listen"),
    ):
        result = okedit(*words)
        assert (result.exit_code, result.stdout) == (code, "") and told in result.stderr, result.stderr
        assert "Traceback" not in result.stderr


def test_forms_and_places_are_told_apart(memory, tmp_path):
    result = okedit("export", "facts.safetensors", "--to", "./memory")  # a folder of that name
    assert result.exit_code == 0 and (tmp_path / "memory" / "bundle.safetensors").is_file()
    result = okedit("export", "facts.safetensors", "--to", "memory")
    assert result.exit_code == 0 and (tmp_path / "facts-memory.safetensors").is_file()
    told = json.loads(okedit("export", "facts.safetensors", "--to", "memory", "--force", "--json").stdout)
    assert told["facts"] == ["peru"] and told["left_out"] == {}
    for words, why in (
        (("--to", "folder", "-o", "x"), "-o is for --to memory and --to peft"),
        (("--to", "memory", "-m", "okedit-mini"), "-m is not for --to memory"),
        (("--to", "peft", "--image-encoder", "x"), "--image-encoder is not for --to peft"),
        (("--to", "memory", "--private"), "--private is for repositories"),
        (("--to", "memory", "-o", "facts.safetensors"), "reads or writes already"),
        (("--to", "memory", "--pictures", "nowhere", "--force"), "nowhere is no folder"),
        (("--to", "peft", "-o", "memory"), "not empty"),
    ):
        result = okedit("export", "facts.safetensors", *words)
        assert result.exit_code == 2 and why in result.stderr, (words, result.stderr)
    assert "none: a text memory for the gateway" in okedit("show", memory).stdout
