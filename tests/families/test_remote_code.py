"""Models whose code lies in their folder: opened where that is allowed, refused in a sentence where not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import families
from families import check
from okedit_cli.errors import ModelError
from okedit_cli.models.load import load_model

CLI = [sys.executable, "-c", "from okedit_cli.cli import main; main()"]
remote = pytest.mark.parametrize("family", families.REMOTE)


@remote
def test_its_code_is_not_run_unless_that_is_allowed(family, tmp_path, capfd):
    import shutil

    folder, trace = shutil.copytree(check.folder(family), tmp_path / "model"), tmp_path / "ran"
    for file in folder.glob("configuration_*.py"):
        file.write_text(f"open({str(trace)!r}, 'w').close()\n" + file.read_text())
    with pytest.raises(ModelError) as caught:
        load_model(str(folder))
    assert not trace.exists()
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message
    assert "trust_remote_code" in caught.value.hint or "--trust-remote-code" in caught.value.hint
    assert capfd.readouterr().out == ""
    load_model(str(folder), trust_remote_code=True)
    assert trace.exists()


@remote
@pytest.mark.parametrize("words", [["ask", "Who?"], ["doctor"]])
def test_the_command_asks_nothing(family, words):
    """Standard input stays open and says nothing: a question would wait there."""
    command = [*CLI, *words, "-m", str(check.folder(family))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        out, err = run.stdout.read(), run.stderr.read()
    assert run.returncode == 1
    assert "--trust-remote-code" in err and "Traceback" not in err
    assert "[y/N]" not in out + err


@remote
def test_the_command_opens_it_where_told(family):
    command = [*CLI, "ask", "Who?", "--trust-remote-code"]
    command += ["--max-tokens", "2", "-m", str(check.folder(family))]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
