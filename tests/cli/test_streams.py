"""Streams closed, full, left by their reader or not UTF-8; and how far long work is, said in lines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from okedit_cli.cli.progress import lines
from okedit_cli.cli.streams import utf8_argument, utf8_bytes
from okedit_cli.errors import UsageError

OKEDIT = f"{sys.executable} -c 'from okedit_cli.cli import main; main()'"


def shell(script):
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(closed, tmp_path):
    run = shell(f"cd {tmp_path} && {OKEDIT} doctor --json {closed}")
    assert run.returncode == 0 and run.stderr == ""
    assert bool(run.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("command", ["--help", "--version", "doctor", "ask --help"])
def test_a_reader_that_leaves_ends_a_command_without_a_word(command):
    # the reader is gone before anything is written
    run = shell(f"{{ {OKEDIT} {command}; echo code $? >&2; }} 2> >(cat >&2) | true")
    assert "Error" not in run.stderr and "Traceback" not in run.stderr
    assert [line for line in run.stderr.splitlines() if line] in (["code 1"], ["code 0"])


def test_a_full_disk_behind_stdout_is_one_sentence():
    run = shell(f"{OKEDIT} doctor > /dev/full")
    assert run.returncode == 1 and run.stderr.startswith("error: No space left")
    assert "Traceback" not in run.stderr and "Exception" not in run.stderr


def test_stderr_that_nobody_reads_stops_no_work():
    run = shell(f"{OKEDIT} doctor --json 2> >(true) | tail -c 2")
    assert run.stdout == "}\n"


def test_texts_are_utf_8():
    assert utf8_argument("Wer ist Zoë? 東京 🙂", "PROMPT") == "Wer ist Zoë? 東京 🙂"
    assert utf8_bytes("\ufeffWho?\u2028".encode(), "stdin") == "Who?\u2028"
    for call, words in (
        (lambda: utf8_argument("Who is \udcff?", "PROMPT"), "PROMPT is not UTF-8: byte 0xff at character 8."),
        (lambda: utf8_argument("\ud83d", "PROMPT"), "lone surrogate U+D83D"),
        (lambda: utf8_bytes(b"caf\xe9?", "stdin"), "stdin is not UTF-8: byte 0xe9 at byte 4."),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert words in caught.value.message and caught.value.exit_code == 2


def test_long_work_is_told_in_lines_also_while_one_step_takes_long():
    said, enough = [], threading.Event()

    def say(text):
        said.append(text)
        if len(said) == 3:
            enough.set()

    with lines(say, every=0.01) as progress:
        progress("fit", 3, 12)
        assert enough.wait(10)
        progress("check", 5, 0)
        time.sleep(0.1)
    count = len(said)
    time.sleep(0.05)
    assert len(said) == count  # none once the work is done
    assert any(text.startswith("fit: 3 of 12, 0:0") for text in said)
    assert said[-1].startswith("check: 5, 0:0")


def test_quick_work_is_not_told():
    said = []
    with lines(said.append) as progress:
        progress("fit", 1, 2)
    assert said == []


ADVISING = """
import logging, os, sys, warnings
import okedit_cli
from okedit_cli.cli.app import run
from okedit_cli.errors import ModelError

def load_model(name, **options):
    from transformers.utils import logging as of_transformers
    of_transformers.get_logger("transformers.generation").warning("advice 1")
    logging.getLogger("some.library").warning("advice 2")
    warnings.warn("advice 3")
    raise ModelError("Enough.")

okedit_cli.__dict__["load_model"] = load_model
run(["ask", "Who?", "-q", "-m", "some/model"])
"""


@pytest.mark.parametrize(("debug", "advice"), [({}, 0), ({"OKEDIT_DEBUG": "1"}, 2)])
def test_what_libraries_advise_stays_off_stderr(debug, advice):
    environment = {name: value for name, value in os.environ.items() if name != "TRANSFORMERS_VERBOSITY"}
    run = subprocess.run(
        [sys.executable, "-c", ADVISING], capture_output=True, text=True, env={**environment, **debug}
    )
    lines = run.stderr.splitlines()
    assert run.returncode == 1 and "error: Enough." in lines
    assert len([line for line in lines if "advice" in line]) >= advice
    assert advice or lines == ["error: Enough."]
