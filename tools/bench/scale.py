"""Does Ray pay on one machine? `python -m tools.bench.scale FACTS.yaml [-m MODEL] [--rounds 1] [--exact]`

The same fact file is fitted and checked by one process with as many threads as there are workers, and by
workers of one thread each, in turn. Told are the seconds of a whole command, facts a minute, the ratio, the
largest memory of the process and of each worker, and whether the bundles are the same byte by byte as one of
one thread where --exact asks for it. Alone on its cores, or the figures are of something else as well.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import okedit_cli

CODE = "from okedit_cli.cli import main; main()"
EVERY = 0.5  # seconds between two looks at memory


def main(words: Sequence[str] | None = None) -> None:
    """Print a line for each way, and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.scale", description=__doc__.split("\n")[0])
    parser.add_argument("facts", type=Path)
    parser.add_argument("-m", "--model", default="okedit-mini")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--exact", action="store_true", help="compare with a run of one thread, which takes long"
    )
    given = parser.parse_args(words)
    count = len(okedit_cli.load_facts(given.facts).facts)
    ways = {"one process": (given.workers, ()), "ray": (1, ("--ray", "--workers", str(given.workers)))}
    if given.exact:
        ways["one thread"] = (1, ())
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds):
            for way, (threads, more) in ways.items():
                out = Path(folder) / f"{way}-{number}.safetensors"
                command = ["edit", str(given.facts), "-m", given.model, "-o", str(out), "-q", *more]
                seconds, memory = timed(command, threads)
                best[way] = min(seconds, best.get(way, seconds))
                sizes = ", ".join(f"{size / 1e6:.0f}" for size in memory)
                print(
                    f"{way:12} {seconds:6.1f} s {60 * count / seconds:6.1f} facts a minute; MB: {sizes}",
                    flush=True,
                )
        print(f"ray is {best['one process'] / best['ray']:.2f} times as quick")
        if given.exact:
            one, other = (Path(folder) / f"{way}-0.safetensors" for way in ("one thread", "ray"))
            print("the same bytes" if one.read_bytes() == other.read_bytes() else "other bytes")


def timed(command: Sequence[str], threads: int) -> tuple[float, list[int]]:
    """Seconds of a command, and the largest memory in bytes of the process and of each worker that it has."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    began, largest = time.perf_counter(), {}
    process = subprocess.Popen([sys.executable, "-c", CODE, *command], env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        for pid in [process.pid, *workers()]:
            largest[pid] = max(largest.get(pid, 0), resident(pid))
        time.sleep(EVERY)
    if process.returncode not in (0, 5):
        raise SystemExit(process.returncode)
    return time.perf_counter() - began, list(largest.values())


def workers() -> list[int]:
    """Processes of this machine that are workers of Ray, as they call themselves."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Worker"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
