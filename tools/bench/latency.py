"""How long does a decision take? `python -m tools.bench.latency DATA [--edits 1000] [--sample 100]`

So many edits of a file are held at once; then questions that nobody asked before are routed one by one: the
edits' other wordings and what is to stay. Told are the median and the 95th of a hundred in milliseconds, of
questions with and without a picture. What the model's own tower needs to see a picture is not counted: the
model sees it anyway.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.models.features import look_of
from okedit_cli.scope.pictures import seen
from okedit_cli.scope.query import Query
from okedit_cli.scope.router import STRICTNESS, Router
from tools.bench.ablation import held, shown


def main(words: Sequence[str] | None = None) -> None:
    """Print a line for each kind of question."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.latency", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=100, help="questions of each kind")
    given = parser.parse_args(words)
    cases = present(load_cases(given.data)).cases[: given.edits]
    found = timed(okedit_cli.load_model("okedit-mini"), cases, given.sample)
    print(f"{given.data.name}: {len(cases)} edits held")
    for kind, times in found.items():
        middle, late = times[len(times) // 2], times[len(times) * 95 // 100]
        print(
            f"  {kind:20} median {1e3 * middle:5.1f} ms, 95 of 100 {1e3 * late:5.1f} ms, {len(times)} asked"
        )


def timed(loaded, cases: Sequence, sample: int) -> dict[str, list[float]]:
    """Kind of question -> seconds of its decisions, sorted."""
    router = Router([held(loaded, [case.fact() for case in cases])], [STRICTNESS])
    questions, pictures = defaultdict(list), {}
    for case in reversed(cases):
        for _, metric, probe in case.probes():
            kind = "text" if probe.picture is None else "text and picture"
            if metric in ("t_gen", "i_gen", "t_loc", "i_loc") and len(questions[kind]) <= sample:
                questions[kind].append(probe)
    out = {}
    for kind, probes in questions.items():
        times = []
        for probe in probes:
            picture = shown(probe.picture, pictures)
            look = None if picture is None else look_of(loaded, picture)
            query = Query(probe.prompt, None if look is None else seen(look))
            began = time.perf_counter()
            router.route(query)
            times.append(time.perf_counter() - began)
        out[kind] = sorted(times[1:])  # the first one reads the encoders
    return out


if __name__ == "__main__":
    sys.exit(main())
