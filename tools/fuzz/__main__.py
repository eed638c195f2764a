"""Broken input on purpose: `python -m tools.fuzz bundles --count 10000 --seed 0`; facts, pictures.

Deterministic: seed and number make a case. Each must end in a result or in one clear OkeditError, within
5 seconds and 1 GB. Exit code 1 when one does not; `--only N` runs that case alone, with its traceback.
"""

from __future__ import annotations

import argparse
import sys

from tools.fuzz import bundles, facts, pictures
from tools.fuzz.runner import run

KINDS = {
    "bundles": (bundles.Cases, 10_000),
    "facts": (facts.Cases, 5_000),
    "pictures": (pictures.Cases, 2_000),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start", type=int, default=0, metavar="N", help="the first case, to split a long run"
    )
    parser.add_argument("--only", type=int, metavar="N")
    given = parser.parse_args()
    make, usual = KINDS[given.kind]
    outcome = run(make, seed=given.seed, count=given.count or usual, start=given.start, only=given.only)
    print(f"{given.kind}: {outcome}")
    for finding in outcome.findings[:20]:
        print(finding)
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
