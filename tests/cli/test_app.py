"""What holds for every command: help with examples, streams, errors as sentences with their exit codes."""

from __future__ import annotations

import errno
import io
import subprocess
import sys

import pytest

import okedit_cli
from okedit_cli.cli.app import COMMANDS
from okedit_cli.cli.output import Output, plain, visible
from okedit_cli.errors import ModelError


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_examples(okedit, command):
    text = okedit(command, "--help").stdout
    examples = text[text.index("Examples:") :].splitlines()[1:]
    first, *rest = examples
    assert f"okedit {command}" in first and all("okedit " in line for line in rest)  # what comes after it


def test_version_and_unknown_commands(okedit):
    assert okedit("--version").stdout == f"okedit {okedit_cli.__version__}\n"
    result = okedit("akk")
    assert result.exit_code == 2 and "ask" in result.stderr


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (ModelError("No such model.", hint="Try another."), 1, "error: No such model.\nhint: Try another.\n"),
        (KeyboardInterrupt(), 130, "error: Interrupted.\n"),
        (MemoryError(), 1, "error: Not enough memory.\nhint: Try --dtype bfloat16"),
        (OutOfMemoryError("CUDA out of memory"), 1, "error: Not enough memory.\n"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            1,
            "error: Not enough memory.\n",
        ),
        (OSError(errno.ENOSPC, "No space", "x.bin"), 1, "error: No space left on the disk for x.bin.\n"),
        (PermissionError(errno.EACCES, "no", "x.bin"), 1, "error: x.bin may not be read or written"),
        (OSError(errno.EIO, "I/O error", "x.bin"), 1, "error: x.bin: I/O error.\n"),
        (ValueError("[bold]odd\nmore"), 1, "error: ValueError: [bold]odd\nhint: Set OKEDIT_DEBUG=1"),
        (BrokenPipeError(errno.EPIPE, "gone"), 1, ""),
    ],
)
def test_failures_are_sentences(okedit, world, failure, code, said):
    world.failure = failure
    result = okedit("ask", "Who?")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(said) and "Traceback" not in result.stderr


def test_debug_shows_the_traceback_too(okedit, world):
    world.failure = ValueError("odd")
    result = okedit("ask", "Who?", env={"OKEDIT_DEBUG": "1"})
    assert "Traceback" in result.stderr and "error: ValueError: odd" in result.stderr


def test_setup_prints_the_folder(okedit, monkeypatch, tmp_path):
    called = []
    fetched = []
    monkeypatch.setattr("okedit_cli.models.mini.ensure", lambda **options: called.append(options) or tmp_path)
    monkeypatch.setattr("okedit_cli.models.sentences.ensure", lambda **options: fetched.append(options))
    assert okedit("setup").stdout == f"{tmp_path}\n"
    assert (
        okedit("setup", "--force", "--json").stdout == f'{{"model": "okedit-mini", "folder": "{tmp_path}"}}\n'
    )
    assert [options.get("force", False) for options in called] == [False, True]
    assert len(fetched) == 2


def test_the_built_in_model_is_set_up_by_the_first_command_that_needs_it(okedit, world, monkeypatch):
    monkeypatch.setattr("okedit_cli.models.mini.is_ready", lambda: False)
    called = []
    monkeypatch.setattr("okedit_cli.models.mini.ensure", lambda **options: called.append(options))
    assert "okedit-mini is not set up yet" in okedit("ask", "Who?").stderr
    assert len(called) == 1
    okedit("ask", "Who?", "-m", "another/model")
    assert len(called) == 1


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_control_characters_reach_files_but_not_terminals(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    Output().line("a\x1b]0;title\x07")
    assert sys.stdout.getvalue() == "a\x1b]0;title\x07\n"
    monkeypatch.setattr(sys, "stdout", Terminal())
    Output().line("a\x1b]0;title\x07")
    assert sys.stdout.getvalue() == "a\\x1b]0;title\\x07\n"
    assert visible("tab\tnew\nline\r\x9b") == "tab\tnew\nline\\x0d\\x9b"


def test_tables_are_never_cut_where_no_terminal_is(capsys):
    Output().table(["id", "took"], [["x" * 300, "[bold]yes"]])
    assert capsys.readouterr().out.splitlines()[2].split() == ["x" * 300, "[bold]yes"]


def test_json_has_no_numbers_that_json_lacks():
    assert plain({"a": float("inf"), "b": [float("nan"), 1.5], 3: None}) == {
        "a": None,
        "b": [None, 1.5],
        "3": None,
    }


def test_no_color_and_no_bars_without_a_terminal():
    code = "from okedit_cli.cli.output import Output\nout = Output()\nout.warn('[red]x')\n"
    code += "with out.progress() as show:\n    show('fit', 1, 2)\n"
    for environment in ({}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert run.stderr.splitlines()[0].replace("\x1b[1m", "").replace("\x1b[0m", "") == "warning: [red]x"
