"""okedit serve as a process: it starts, answers, logs, and stops when told to, after its last answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fitted
import httpx
import pytest
from fitted import PARIS, WORDS
from serving import linked

ROOT = Path(__file__).parents[2]
OKEDIT = (sys.executable, "-c", "from okedit_cli.cli import main; main()")


@contextlib.contextmanager
def process(*words: str):
    """(address, process) of `okedit serve` with these words."""
    case = fitted.fitted("llama")
    path = fitted.ROOT / "facts.safetensors"
    case.bundle.save(path)
    command = [*OKEDIT, "serve", "-m", str(fitted.folder("llama")), "--port", "0"]
    with fitted.world():
        running = subprocess.Popen(
            [*command, "-b", str(path), *words], cwd=ROOT, env=dict(os.environ), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    try:
        said = []
        for line in running.stderr:
            said.append(line)
            if found := re.search(r"answering at (http://\S+),", line):
                break
        else:
            raise AssertionError("".join(said))
        yield found[1], running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
        running.stderr.close()


def test_it_drains_when_it_is_stopped(tmp_path):
    log = tmp_path / "answers.jsonl"
    with process("--log", str(log)) as (url, running):
        ask = {"messages": [{"role": "user", "content": WORDS}]}
        assert httpx.post(f"{url}/v1/chat/completions", json=ask, timeout=60).json()["okedit"]["edit"]
        assert httpx.post(f"{url}/v1/chat/completions", json={}, timeout=60).status_code == 400
        body = {"messages": [{"role": "user", "content": "Who?"}], "max_tokens": 400, "temperature": 1.9,
                "seed": 1, "stream": True}  # fmt: skip
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.send_signal(signal.SIGTERM)
            assert "data: [DONE]" in list(lines)  # what had begun came to its end
        assert running.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["status"] for one in lines] == [200, 400, 200]
    assert lines[0]["edit"] == "capital" and lines[0]["bundle"] == "facts" and lines[0]["seconds"] >= 0
    assert WORDS not in log.read_text() and PARIS not in log.read_text()


def test_what_does_not_come_to_its_end_is_told_so():
    with process("--drain", "1") as (url, running):
        with linked(url, 30) as link:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
            link.sendall(head.encode())
            while httpx.get(f"{url}/metrics").text.find("okedit_requests_running 2.0") < 0:
                time.sleep(0.05)
            running.send_signal(signal.SIGTERM)
            with link.makefile("rb") as answer:
                told = answer.read().decode()
        assert told.startswith("HTTP/1.1 503") and json.loads(told.split("\r\n\r\n")[1])["error"]["type"]
        assert running.wait(30) == 0 and "Traceback" not in running.stderr.read()


def test_ctrl_c():
    with process("--drain", "5") as (url, running):
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) in (0, 130)
        assert "Traceback" not in running.stderr.read()


def test_what_is_wrong_is_told_before_a_model_is_loaded(okedit_run, tmp_path):
    for words, told in (
        (["--bundle-dir", str(tmp_path / "none")], "is no folder"),
        (["-b", str(tmp_path / "none.safetensors")], "none.safetensors"),
        (["--host", "203.0.113.7"], "Cannot listen"),
        (["--port", "70000"], "65535"),
        (["--admin-key", ""], "The key of --admin-key is empty"),
        (["--api-key", " "], "The key of --api-key is empty"),
    ):
        found = okedit_run(*words)
        assert found.returncode and told in found.stderr and "Traceback" not in found.stderr


@pytest.fixture
def okedit_run():
    def run(*words):
        return subprocess.run(
            [*OKEDIT, "serve", "-m", str(fitted.folder("llama")), *words],
            cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run
