"""One process at a time on a bundle: others wait, a killed one leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from okedit_cli.bundle.lock import held, locked
from okedit_cli.errors import OkeditError

pytest.importorskip("fcntl")
HOLD = (
    "import sys, time\nfrom okedit_cli.bundle.lock import locked\n"
    "with locked(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock of tmp_path/x until its stdin is closed."""
    (tmp_path / "x").write_text("one")
    words = [sys.executable, "-c", HOLD, str(tmp_path / "x")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_told_after_its_patience(holder, tmp_path):
    with pytest.raises(OkeditError, match="another okedit has been writing it"):
        with locked(tmp_path / "x", patience=0.2):
            raise AssertionError("entered")


def test_a_wait_is_said_and_ends_when_the_other_lets_go(holder, tmp_path):
    told = []

    def tell(words):
        told.append(words)
        holder.stdin.close()

    with locked(tmp_path / "x", tell=tell):
        assert len(told) == 1 and "waiting" in told[0]


def test_a_killed_process_leaves_no_lock(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "x", patience=5):
        assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_lock_of_a_file_that_was_replaced_means_nothing(holder, tmp_path):
    """Every write renames a new file over the old one."""
    (tmp_path / "y").write_text("two")
    os.replace(tmp_path / "y", tmp_path / "x")
    with locked(tmp_path / "x", patience=1):
        with (tmp_path / "x").open("rb") as again:
            assert not held(again.fileno())


def test_nothing_is_locked_where_there_is_no_file(tmp_path):
    with locked(tmp_path / "x"):
        assert list(tmp_path.iterdir()) == []
