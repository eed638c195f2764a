"""Runs commands in children and kills each at a random moment: `python tests/cli/kills.py COUNT FOLDER`.

After each kill every file is the old one or the new one, whole. Prints how many kills hit before the end.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path


def main(count: int, folder: Path) -> None:
    """Raises AssertionError on the first file that is torn."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from bundle.factory import make_bundle
    from cli.shipping import write_facts

    from okedit_cli.bundle import Bundle
    from okedit_cli.bundle.export import BETWEEN, FILE, README
    from okedit_cli.cli.app import run

    os.chdir(folder)
    make_bundle(40, seed=1, prefix="a").save("a.safetensors")
    make_bundle(40, seed=2, prefix="b").save("b.safetensors")
    write_facts(folder)
    commands = {
        "merge": ["merge", "a.safetensors", "b.safetensors", "-o", "x.safetensors", "-q"],
        "remove": ["remove", "x.safetensors", "b-3", "-q"],
        "export": ["export", "b.safetensors", "--to", "folder", "-q"],
        "append": [],
        "edit": [],
    }
    for words in filter(None, commands.values()):  # imports done, so that kills hit the work
        with suppress(SystemExit):
            run(words)
    _edit()
    chance, early = random.Random(3), 0
    for number in range(count):
        name = list(commands)[number % len(commands)]
        if not Path("x.safetensors").exists() or name != "export":
            Bundle.load("a.safetensors").save("x.safetensors")
        earlier = Path("folder").exists()
        if earlier and number % 10 == 2:
            for path in Path("folder").iterdir():
                path.unlink()
            Path("folder").rmdir()
            earlier = False
        exported = chance.choice(["a.safetensors", "b.safetensors"])
        child = os.fork()
        if child == 0:
            with open(os.devnull, "w") as sink:
                os.dup2(sink.fileno(), 1)
                os.dup2(sink.fileno(), 2)
            try:
                if name == "export":
                    commands[name][1] = exported
                if commands[name]:
                    run(commands[name])
                else:
                    {"append": _append, "edit": _edit}[name]()
            finally:
                os._exit(0)
        time.sleep(chance.random() * 0.08)
        os.kill(child, signal.SIGKILL)
        early += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        whole = len(Bundle.load("x.safetensors", verify=True))
        assert whole == 2 if name == "edit" and whole < 30 else 30 <= whole <= 81, whole
        assert len(Bundle.load("b.safetensors", verify=True)) == 40
        if Path("folder").exists():
            first = Bundle.load(f"folder/{FILE}", verify=True).manifest.facts[0]["id"]
            text = Path(f"folder/{README}").read_text()
            assert text == BETWEEN.decode() or (f"| {first} |" in text and text.endswith("|\n")), first
        else:
            assert not earlier
    print(early)


def _edit() -> None:
    """`okedit edit` from its facts on, with random numbers in place of a model."""
    import pytest
    from cli.shipping import Fitter, okedit

    with pytest.MonkeyPatch.context() as patch:
        Fitter(patch)
        assert okedit("edit", "facts.yaml", "-o", "x.safetensors", "--with-sources").exit_code == 0


def _append() -> None:
    """What `okedit edit --append` does once the new edits are fitted."""
    from bundle.factory import make_bundle

    from okedit_cli.cli.intake import Earlier

    earlier = Earlier(Path("x.safetensors"))
    merged, _ = earlier.with_new(make_bundle(1, seed=9, prefix="new"))
    merged.save(earlier.path)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
