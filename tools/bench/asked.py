"""What do CounterFact's generation prompts ask for? `python -m tools.bench.asked RESULT.json`

They are taken for other wordings of a fact by the flat form of CounterFact, and half of them are none:
"X's greatest strength is", for the position that X plays in. asked.yaml has what two readers said of each,
who saw neither what okedit answers nor each other's labels. RESULT.json is what `okedit eval --out` wrote of
that file; its other wordings are counted apart by what they ask for.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from okedit_cli.evaluate.result import Result
from okedit_cli.evaluate.scoring import aggregate

LABELS = Path(__file__).with_name("asked.yaml")
WANTED = "paraphrase", "same"  # what asks for the fact itself


@functools.cache
def asked_for() -> Mapping[str, str]:
    """Case of CounterFact -> what its generation prompt asks for, as both readers have it, or "doubtful"."""
    labels = yaml.safe_load(LABELS.read_text(encoding="utf-8"))["labels"]
    return {f"counterfact-{number}": label for label, numbers in labels.items() for number in numbers}


def main(words: Sequence[str] | None = None) -> None:
    """Print T-Gen by what is asked for, a line each, and of all that ask for the fact itself."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.asked", description=__doc__.split("\n")[0])
    parser.add_argument("result", type=Path)
    for line in told(Result.load(parser.parse_args(words).result)):
        print(line)


def told(result: Result) -> list[str]:
    """A line for each label: the share that is answered with the fact, with its interval, and of how many."""
    records = [
        replace(record, kind=asked_for().get(record.case, record.kind))
        for record in result.records
        if record.metric == "t_gen"
    ]
    wanted = [replace(record, kind="") for record in records if record.kind in WANTED]
    figures = [one for one in aggregate(records) if one.kind] + aggregate(wanted)
    return [
        f"{one.kind or ' + '.join(WANTED):18} {100 * one.value:5.1f} "
        f"[{100 * one.low:.0f}-{100 * one.high:.0f}] of {one.questions:,}"
        for one in figures
        if one.metric == "t_gen" and one.measure == "exact" and not one.cell
    ]


if __name__ == "__main__":
    sys.exit(main())
