"""A kill at any moment of a command that writes leaves whole files; shells complete commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of its own")
@pytest.mark.parametrize("count, commands", [(6, ["merge", "remove", "export"]), (2, ["edit"])])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, count, commands):
    script = Path(__file__).with_name("kills.py")
    words = [sys.executable, script, str(count), tmp_path, *commands]
    run = subprocess.run(words, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    early = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert len(early) == len(commands) and sum(early) >= len(commands)  # kills that came before the end


def test_a_shell_can_complete_the_commands():
    words = {"_OKEDIT_COMPLETE": "complete_bash", "COMP_WORDS": "okedit ver", "COMP_CWORD": "1"}
    code = "from okedit_cli.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words)
    assert run.stdout.strip() == "verify", run.stderr
