"""How fast are large bundles? `python -m tools.bench open|match|merge --edits 100000 --keys 10`

open: opens a bundle until it is ready to match; match: finds the candidates of prompts, half of them inside
an edit; merge: merges two bundles of half the edits each and writes the result. Each runs in a process of
its own, so that its memory can be told; the bundles are made first, and kept with --folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.bench.made import WIDTH, made

RUNS = 5  # the median is told
PROMPTS = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--edits", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=10, help="of an edit in each channel")
    parser.add_argument("--radius", type=float, default=16.0, help="about which radii lie")
    parser.add_argument("--alike", action="store_true", help="nine in ten edits ask one of 20 questions")
    parser.add_argument("--folder", type=Path, help="where the bundles are kept. [default: nowhere]")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(MEASURES[given.what](given) | {"GB": _memory()}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        given.folder = given.folder or Path(scratch)
        _prepare(given)
        command = [sys.executable, "-m", "tools.bench", given.what, "--child", "--folder", str(given.folder)]
        command += ["--edits", str(given.edits), "--keys", str(given.keys), "--radius", str(given.radius)]
        command += ["--alike"] * given.alike
        runs = 1 if given.what == "merge" else RUNS
        found = [json.loads(subprocess.check_output(command).splitlines()[-1]) for _ in range(runs)]
    made_of = f"{given.keys} keys of {WIDTH} numbers a channel, radii about {given.radius:g}"
    made_of += ", questions alike" * given.alike
    print(f"{given.what}: {given.edits:,} edits with {made_of}")
    for name in found[0]:
        values = sorted(one[name] for one in found)
        print(
            f"  {name:32} {values[len(values) // 2]:.3g}" + (f"   (best {values[0]:.3g})" if runs > 1 else "")
        )


def _files(given) -> list[tuple[Path, int, int]]:
    """(file, edits, seed) of the bundles that a measure needs."""
    kind = f"{given.keys}-{given.radius:g}{'-alike' * given.alike}"
    if given.what == "merge":
        half = given.edits // 2
        return [(given.folder / f"half-{half}-{kind}-{seed}.safetensors", half, seed) for seed in (1, 2)]
    return [(given.folder / f"whole-{given.edits}-{kind}.safetensors", given.edits, 0)]


def _prepare(given) -> None:
    given.folder.mkdir(parents=True, exist_ok=True)
    for path, edits, seed in _files(given):
        if not path.exists():
            began = time.perf_counter()
            made(edits, given.keys, seed, given.radius, given.alike).save(path)
            seconds = time.perf_counter() - began
            print(f"made {path.name}, {path.stat().st_size / 1e9:.2f} GB, in {seconds:.0f} s", flush=True)


def _open(given) -> dict[str, float]:
    from okedit_cli.bundle import Bundle, read_manifest
    from okedit_cli.scope.retriever import Retriever

    [(path, _, _)] = _files(given)
    Retriever(Bundle.load(made_small(given.folder)), 0, 0.5)  # imports done
    began = time.perf_counter()
    read_manifest(path)
    header = time.perf_counter()
    bundle = Bundle.load(path)
    loaded = time.perf_counter()
    Retriever(bundle, 0, 0.5)
    ready = time.perf_counter()
    assert bundle.manifest.facts[len(bundle) - 1]["id"]
    return {"read the manifest, s": header - began, "open, s": loaded - header,
            "open until ready to match, s": ready - header}  # fmt: skip


def made_small(folder: Path) -> Path:
    """A bundle that costs nothing to open."""
    path = folder / "small.safetensors"
    if not path.exists():
        made(2, 1, 3).save(path)
    return path


def _match(given) -> dict[str, float]:
    import torch

    from okedit_cli.bundle import Bundle

    [(path, _, _)] = _files(given)
    bundle = Bundle.load(path)
    book, by, prompts = bundle.codebook, torch.Generator().manual_seed(7), []
    for number in range(PROMPTS):
        edits = torch.randint(len(bundle), (2,), generator=by)
        pair = (edits[0], edits[0]) if number % 2 else (edits[0], edits[1])  # of one edit, or of two
        prompts.append(tuple(
            keys[int(edit) * given.keys] + torch.randn(WIDTH, generator=by) * (5 / WIDTH**0.5)
            for keys, edit in zip((book.picture_keys, book.question_keys), pair, strict=True)
        ))  # fmt: skip

    def retrieve(picture: torch.Tensor, question: torch.Tensor) -> int:
        shown, asked = book.picture_distances(picture), book.question_distances(question)
        return int(((shown <= book.picture_radius) & (asked <= book.question_radius)).sum())

    retrieve(*prompts[0])
    seconds, processor, hits = [], [], 0
    for prompt in prompts:
        began, worked = time.perf_counter(), time.process_time()
        hits += retrieve(*prompt) > 0
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
    seconds.sort()
    processor.sort()
    late = seconds[PROMPTS * 19 // 20]
    return {"retrieve, best, ms": 1e3 * seconds[0], "retrieve, median, ms": 1e3 * seconds[PROMPTS // 2],
            "retrieve, 95 of 100, ms": 1e3 * late, "retrieve, processor, ms": 1e3 * processor[PROMPTS // 2],
            "prompts with a candidate": hits}  # fmt: skip


def _merge(given) -> dict[str, float]:
    from okedit_cli.bundle import Bundle
    from okedit_cli.bundle.merge import merge

    began, worked = time.perf_counter(), time.process_time()
    bundles = [Bundle.load(path) for path, _, _ in _files(given)]
    merged, report = merge(bundles, lazy=True)
    decided = time.perf_counter()
    target = given.folder / "merged.safetensors"
    merged.save(target)
    ended, spent = time.perf_counter(), time.process_time() - worked
    target.unlink()
    return {"merge and write, s": ended - began, "of which finding conflicts, s": decided - began,
            "processor, s": spent, "edits": len(merged), "conflicts": report.total}  # fmt: skip


def _memory() -> float:
    """The most memory that this process ever had, without pages of files that it can give back, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


MEASURES = {"open": _open, "match": _match, "merge": _merge}

if __name__ == "__main__":
    main()
