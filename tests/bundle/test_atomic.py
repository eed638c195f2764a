"""A save that fails or is killed leaves the old file or the new one, whole, and sweeps its litter."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
from bundle.factory import make_bundle, same

from okedit_cli.bundle import Bundle
from okedit_cli.bundle.atomic import atomic_write
from okedit_cli.errors import InvalidBundle, OkeditError


def fails(path, words: str) -> None:
    with pytest.raises(OkeditError, match=words) as caught:
        make_bundle(seed=2).save(path)
    assert str(path) in caught.value.message and caught.value.hint and caught.value.exit_code == 1


@pytest.mark.parametrize("code, words", [
    (errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only"), (errno.EIO, "Input/output error"),
])  # fmt: skip
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path, monkeypatch, code, words):
    make_bundle(seed=1).save(tmp_path / "x")

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    for call in ("fsync", "replace"):
        monkeypatch.setattr(os, call, refuse)
        fails(tmp_path / "x", words)
        monkeypatch.undo()
    assert same(Bundle.load(tmp_path / "x", verify=True), make_bundle(seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_in_the_middle_of_the_file(tmp_path):
    make_bundle(seed=1).save(tmp_path / "x")
    before = (tmp_path / "x").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 100, limits[1]))
        fails(tmp_path / "x", "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "x").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_places_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    fails(tmp_path / "file" / "x", "Not a directory|File exists")
    (tmp_path / "folder").mkdir()
    fails(tmp_path / "folder", "folder")
    monkeypatch.setattr(
        "tempfile.mkstemp", lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    fails(tmp_path / "x", "Permission denied")
    assert (tmp_path / "file").read_text() == "mine"


def test_missing_folders_are_made_and_modes_and_links_kept(tmp_path):
    path = tmp_path / "new" / "folder" / "x.safetensors"
    make_bundle(seed=1).save(path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    make_bundle(seed=2).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert same(Bundle.load(path), make_bundle(seed=2))


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_an_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "x") as handle:
        handle.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_swept_but_not_a_writer_at_work(tmp_path):
    old, young, other = (tmp_path / name for name in (".x.aaaa.tmp", ".x.bbbb.tmp", ".y.cccc.tmp"))
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (1, 1))
    make_bundle().save(tmp_path / "x")
    assert not old.exists() and young.exists() and other.exists()


def test_two_writers_of_one_name_the_last_wins(tmp_path):
    with atomic_write(tmp_path / "x") as one:
        one.write(b"first")
        with atomic_write(tmp_path / "x") as other:
            other.write(b"second")
        assert (tmp_path / "x").read_bytes() == b"second"
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_two_processes_that_write_one_name(tmp_path):
    """Whoever reads meanwhile finds the file of one of them, whole."""
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(os.path.dirname(os.path.dirname(__file__)))!r})
        from bundle.factory import make_bundle
        bundle = make_bundle(20, seed=int(sys.argv[1]))
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(60):
            bundle.save({str(tmp_path / "x")!r})
    """)
    wanted = []
    for seed in (1, 2):
        make_bundle(20, seed=seed).save(tmp_path / "x")
        wanted.append((tmp_path / "x").read_bytes())
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, text=True,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(wanted.index((tmp_path / "x").read_bytes()))
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
    assert seen == {0, 1} and [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of its own")
def test_a_kill_at_any_moment_leaves_one_whole_file(tmp_path):
    """One process forks writers that save two bundles in turn, and kills each at a random moment."""
    script = textwrap.dedent(f"""
        import os, random, signal, sys, time
        sys.path.insert(0, {str(os.path.dirname(os.path.dirname(__file__)))!r})
        from bundle.factory import make_bundle
        from okedit_cli.bundle import Bundle
        bundles = [make_bundle(40, seed=seed) for seed in (1, 2)]
        wanted = []
        for number, bundle in enumerate(bundles):
            bundle.save({str(tmp_path)!r} + f"/whole{{number}}")
            wanted.append(open({str(tmp_path)!r} + f"/whole{{number}}", "rb").read())
        path, rng, kills = {str(tmp_path / "x")!r}, random.Random(3), [0, 0]
        began = time.perf_counter()
        bundles[1].save(path)
        bundles[0].save(path)
        window = 2 * (time.perf_counter() - began)  # on a busy machine a save takes longer
        while sum(kills) < 60 or (min(kills) == 0 and sum(kills) < 600):
            window *= 1.01  # and busier still a while after
            child = os.fork()
            if child == 0:
                while True:
                    for bundle in bundles:
                        bundle.save(path)
            time.sleep(rng.uniform(0, window))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found = wanted.index(open(path, "rb").read())
            kills[found] += 1
        Bundle.load(path, verify=True)
        assert min(kills) > 0, kills
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


def test_an_error_in_the_content_is_told_as_such(tmp_path):
    bundle = make_bundle()
    bundle.codebook.value_bias[2, 7] = float("nan")
    with pytest.raises(InvalidBundle, match="not finite"):
        bundle.save(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
