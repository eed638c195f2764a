"""Kills commands at random moments: `python tests/cli/kills.py COUNT FOLDER [COMMAND ...]`, COUNT times each.

Half of the kills come at any moment of a command, half while it writes. After each the file is the old one or
the new one, byte for byte, and an exported folder is whole. `edit` and `append` (edit --append) fit a fact to
a tiny model. Prints, for each command, how many kills came before its end, and how many found it writing.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

FACTS = "version: 1\nfacts:\n- {{id: {0}, prompt: What is the capital of {1}?, answer: {0}}}\n"
X = Path("x.safetensors")


def main(count: int, folder: Path, wanted: list[str]) -> None:
    """Raises AssertionError on the first file that is torn."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch
    from bundle.factory import make_bundle

    torch.set_num_threads(1)  # threads of the parent are not there in a child
    os.chdir(folder)
    make_bundle(40, seed=1, prefix="a").save("a.safetensors")
    make_bundle(40, seed=2, prefix="b").save("b.safetensors")
    merge = ["merge", "a.safetensors", "b.safetensors", "-o", str(X), "-q"]
    chance = random.Random(3)
    if "merge" in wanted:
        print("merge", *_kill_all(merge, None, count, chance), flush=True)
    if "remove" in wanted:
        print("remove", *_kill_all(["remove", str(X), "b-3", "-q"], merge, count, chance), flush=True)
    if "export" in wanted:
        print("export", *_exports(count, chance), flush=True)
    if {"edit", "append"} & {*wanted}:
        with _tiny_model() as model:
            fit = ["-m", model, "--layer", "2", "--over-reach", "-q"]
            first = ["edit", "paris.yaml", "-o", str(X), *fit]
            if "edit" in wanted:
                print("edit", *_kill_all(first, merge, count, chance), flush=True)
            if "append" in wanted:
                more = ["edit", "rome.yaml", "--append", str(X), *fit]
                print("append", *_kill_all(more, first, count, chance), flush=True)


def _kill_all(
    words: list[str], before: list[str] | None, count: int, chance: random.Random
) -> tuple[int, int]:
    """Kill a command that writes X, which the command `before` has written, else a copy of a bundle."""
    if before:
        _here(before)
    else:
        X.write_bytes(Path("a.safetensors").read_bytes())
    old = X.read_bytes()
    _here(words)
    new, early, writing = X.read_bytes(), 0, 0
    assert old != new
    X.write_bytes(old)
    pace = _whole(words)
    assert X.read_bytes() == new  # equal inputs, equal bytes
    for number in range(count):
        if X.read_bytes() != old:
            X.write_bytes(old)
        hit, wrote = _kill(words, pace, chance, number % 2 == 1)
        early, writing = early + hit, writing + wrote
        assert X.read_bytes() in (old, new)
        _sweep(X.parent, X.name)
    return early, writing


def _exports(count: int, chance: random.Random) -> tuple[int, int]:
    """Into a folder that is not there yet, and into one of an earlier export of this bundle or another."""
    from okedit_cli.bundle import Bundle
    from okedit_cli.bundle.export import BETWEEN, FILE, README

    folder, early, writing = Path("folder"), 0, 0
    words = ["export", "b.safetensors", "--to", str(folder), "-q"]
    _here(words)
    pace = _whole(words)
    for number in range(count):
        if number % 5 == 2 and folder.exists():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        earlier = folder.exists()
        words[1] = chance.choice(["a.safetensors", "b.safetensors"])
        hit, wrote = _kill(words, pace, chance, number % 2 == 1)
        early, writing = early + hit, writing + wrote
        if folder.exists():
            name = Bundle.load(folder / FILE, verify=True).manifest.facts[0]["id"]
            text = (folder / README).read_text()
            assert text == BETWEEN.decode() or (f"| {name} |" in text and text.endswith("|\n")), name
            _sweep(folder, FILE), _sweep(folder, README)
            assert sorted(path.name for path in folder.iterdir()) == sorted([FILE, README])
        else:
            assert not earlier
    return early, writing


def _kill(words: list[str], pace: tuple[float, float], chance, late: bool) -> tuple[bool, bool]:
    """(killed before its end, killed after it began to write)."""
    whole, written = pace
    child, mark = _start(words)
    if late:
        select.select([mark], [], [])  # it begins to write, or ends
        time.sleep(chance.random() * 1.2 * (whole - written))
    else:
        time.sleep(chance.random() * 1.1 * whole)
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    began = bool(os.read(mark, 1))
    os.close(mark)
    return killed, killed and began


def _whole(words: list[str]) -> tuple[float, float]:
    """Let a command come to its end; seconds until then, and until it began to write."""
    began = time.perf_counter()
    child, mark = _start(words)
    select.select([mark], [], [])
    written = time.perf_counter() - began
    # 5: written, but the tiny model does not say what it was to say
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 5), words
    os.close(mark)
    return time.perf_counter() - began, written


def _here(words: list[str]) -> None:
    """Run a command in this process: what it imports is there in the children, so that kills hit the work."""
    from okedit_cli.cli.app import run

    with open(os.devnull, "w") as sink, redirect_stdout(sink), redirect_stderr(sink), suppress(SystemExit):
        run(words)


def _start(words: list[str]) -> tuple[int, int]:
    """A command in a child, and the end of a pipe that says when it first makes a temporary file."""
    mark, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return child, mark

    def hook(event: str, given: tuple) -> None:
        # next to the target; libraries make theirs elsewhere
        if event in ("tempfile.mkstemp", "tempfile.mkdtemp") and str(Path.cwd()) in os.path.abspath(given[0]):
            os.write(told, b"w")

    code = 1
    try:
        from okedit_cli.cli.app import run

        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 1)
        sys.addaudithook(hook)
        run(words)
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)


@contextmanager
def _tiny_model() -> Iterator[str]:
    """The folder of a model of 4 layers, in the small world of tests/fitted.py, imports done."""
    import fitted

    for name, place in (("paris", "France"), ("rome", "Italy")):
        Path(f"{name}.yaml").write_text(FACTS.format(name, place))
    with ExitStack() as stack:
        stack.enter_context(fitted.world())
        stack.enter_context(mock.patch("okedit_cli.models.sentences.is_ready", lambda: True))
        yield str(fitted.folder("gpt2"))


def _sweep(folder: Path, name: str) -> None:
    """What killed writers leave behind has their file's name in its own."""
    for leftover in folder.glob(f".{name}.*.tmp"):
        with suppress(FileNotFoundError):
            leftover.unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["merge", "remove", "export", "edit", "append"])
