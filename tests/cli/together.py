"""Commands that change one bundle at the same time, each in a process of its own: `together.py FOLDER`.

Every process has read the bundle, or is about to, before any of them writes. No model: facts are fitted by
shipping.Fitter. Prints, for each round, the exit codes and the ids that are in the bundle afterwards.
"""

from __future__ import annotations

import json
import os
import sys
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest  # noqa: E402
import torch  # noqa: E402
from bundle.factory import make_bundle  # noqa: E402
from cli.shipping import Fitter  # noqa: E402

X = Path("x.safetensors")
ROUNDS = {
    "appends": [["edit", f"{name}.yaml", "--append", str(X)] for name in ("tea", "boss")],
    "removals": [["remove", str(X), f"fact-{number}"] for number in range(4)],
    "both": [["remove", str(X), "fact-*"], ["edit", "tea.yaml", "--append", str(X)]],
    "a merge onto it": [
        ["merge", str(X), "y.safetensors", "-o", str(X)],
        ["remove", str(X), "fact-1"],
        ["edit", "tea.yaml", "--append", str(X)],
    ],
}


class Waiting(Fitter):
    """Fits when all others have come as far, so that what they read is old when they write."""

    barrier = None

    def fit(self, loaded, facts, **options):
        self.barrier.wait(60)
        self.seed = 20 + len(facts[0].id)  # other keys for each fact
        return super().fit(loaded, facts, **options)


def command(fitter: Waiting, barrier, words: list[str]) -> None:
    from okedit_cli.cli.app import run

    fitter.barrier = barrier
    if words[0] != "edit":
        barrier.wait(60)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    run([*words, "-q"])


def main(folder: str) -> None:
    from okedit_cli.bundle import read_manifest

    torch.set_num_threads(1)  # threads of the parent are not there in a child
    os.chdir(folder)
    fitter = Waiting(pytest.MonkeyPatch())
    for name in ("tea", "boss"):
        text = f"version: 1\nfacts:\n- {{id: {name}, prompt: What of the {name}?, answer: {name}}}\n"
        Path(f"{name}.yaml").write_text(text)
    other = make_bundle(2, seed=5, prefix="other")
    other.codebook.picture_keys += 5000
    other.save("y.safetensors")
    context = get_context("fork")
    for title, commands in ROUNDS.items():
        make_bundle(6, seed=1).save(X)
        barrier = context.Barrier(len(commands))
        processes = [context.Process(target=command, args=(fitter, barrier, words)) for words in commands]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        codes = [process.exitcode for process in processes]
        ids = [fact["id"] for fact in read_manifest(X).facts]
        litter = sorted(path.name for path in Path().glob(".*"))
        print(json.dumps({"round": title, "codes": codes, "ids": sorted(ids), "litter": litter}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
