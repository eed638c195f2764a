"""Ray on this machine: workers of one CPU, one of them killed, the whole interrupted and taken up again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fitted
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'okedit[ray]'")

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds; a machine may be busy
PLACES = ("France", "Italy", "Norway", "Kenya", "Chile")
RAY = ("--ray", "--workers", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A fact file of five facts, and the bundle that one process of one thread makes of it."""
    folder = tmp_path_factory.mktemp("ray")
    facts = [f"- {{prompt: What is the capital of {one}?, answer: {one[::-1]}}}\n" for one in PLACES]
    (folder / "facts.yaml").write_text("version: 1\nfacts:\n" + "".join(facts))
    assert started(folder, "edit", "-o", "one.safetensors").wait(PATIENCE) in (0, 5)
    return folder


def started(folder: Path, command: str, *words: str) -> subprocess.Popen:
    """A command on the fact file in a process of its own, its stderr in command.log."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    model = ["-m", str(fitted.folder("gpt2"))]
    code = "from okedit_cli.cli import main; main()"
    with (folder / "command.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, command, "facts.yaml", *model, "--over-reach", *words],
            cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip


def told(folder: Path) -> str:
    return (folder / "command.log").read_text()


def wait_for(process: subprocess.Popen, folder: Path, pattern: str) -> None:
    """Until a file of that name is in the folder, while the command is at work."""
    until = time.monotonic() + PATIENCE
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < until, told(folder)
        time.sleep(0.05)


def test_a_killed_worker_loses_nothing(folder):
    process = started(folder, "edit", "-o", "killed.safetensors", *RAY)
    wait_for(process, folder, "killed.safetensors.shards/fit-*.json")
    os.kill(int(re.search(r"process (\d+) on", told(folder))[1]), signal.SIGKILL)
    assert process.wait(PATIENCE) in (0, 5), told(folder)
    assert "A worker has ended; another one takes over" in told(folder)
    assert (folder / "killed.safetensors").read_bytes() == (folder / "one.safetensors").read_bytes()


def test_an_interrupted_run_is_taken_up_where_it_was(folder):
    words = ("edit", "-o", "stopped.safetensors", *RAY)
    process, state = started(folder, *words), folder / "stopped.safetensors.shards"
    wait_for(process, folder, "stopped.safetensors.shards/fit-*.json")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert "What is done is kept in stopped.safetensors.shards" in told(folder)
    assert not (folder / "stopped.safetensors").exists()
    done = {path.name: path.stat().st_mtime_ns for path in state.glob("fit-*")}
    assert started(folder, *words).wait(PATIENCE) in (0, 5), told(folder)
    assert re.search(r"[1-4] of 5 facts are fitted already", told(folder))
    assert {name: (state / name).stat().st_mtime_ns for name in done} == done
    assert (folder / "stopped.safetensors").read_bytes() == (folder / "one.safetensors").read_bytes()


def test_cases_shared_out_give_the_same_result(folder):
    options = ("--limit", "2", "--max-tokens", "4")
    assert started(folder, "eval", *options, "-o", "one.json").wait(PATIENCE) == 0, told(folder)
    assert started(folder, "eval", *options, "-o", "ray.json", *RAY).wait(PATIENCE) == 0, told(folder)
    assert (folder / "ray.json").read_bytes() == (folder / "one.json").read_bytes()
