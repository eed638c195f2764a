"""How often does a gate let in what it should? `python -m tools.bench.gates DATA --set gate=likelihood`

Edits of the first cases stand in one bundle; their questions are decided, none is answered. A row for each
kind of query: how often an edit was confirmed, and how often that was right (a positive: its own edit; a
negative: none). The gate of SCR is the model itself, so that this says how far the model can be asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS, Case
from okedit_cli.facts.pictures import load_picture
from okedit_cli.generate import decide


@dataclass(frozen=True)
class Row:
    """Decisions on one kind of query."""

    metric: str
    questions: int
    confirmed: int
    right: int

    def __str__(self) -> str:
        words = METRICS[self.metric].label
        shares = (100 * count / self.questions for count in (self.confirmed, self.right))
        return "{:12} confirmed {:5.1f} %  right {:5.1f} %  of {}".format(words, *shares, self.questions)


def main(words: Sequence[str] | None = None) -> None:
    """Fit, decide, and print a row for each kind of query."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.gates", description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="okedit-mini")
    parser.add_argument("--method", default="scr")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--limit", type=int, default=12, help="cases")
    parser.add_argument("--each", type=int, default=2, help="questions of a kind that a case brings")
    given = parser.parse_args(words)
    cases = present(load_cases(given.data)).cases[: given.limit]
    loaded = okedit_cli.load_model(given.model)
    facts = [case.fact() for case in cases]
    bundle = okedit_cli.fit(loaded, facts, method=given.method, settings=given.settings, checked=False).bundle
    for row in judged(loaded, bundle, cases, given.each):
        print(row)


def judged(loaded, bundle, cases: Sequence[Case], each: int) -> list[Row]:
    """Rows over the cases' questions, of each kind the first `each` of a case."""
    asked: dict[str, list] = {}
    for case in cases:
        taken: dict[str, int] = {}
        for _, metric, probe in case.probes():
            taken[metric] = taken.get(metric, 0) + 1
            if taken[metric] <= each:
                asked.setdefault(metric, []).append((case, probe))
    rows = []
    with okedit_cli.attach(loaded, bundle, alone=True):
        for metric, pairs in asked.items():
            shown = [(one.prompt, one.picture and load_picture(one.picture)) for _, one in pairs]
            hits = [verdict.hit and verdict.hit.edit_id for verdict in decide(loaded, shown)]
            wanted = [case.id if METRICS[metric].positive else None for case, _ in pairs]
            right = sum(hit == want for hit, want in zip(hits, wanted, strict=True))
            rows.append(Row(metric, len(pairs), sum(hit is not None for hit in hits), right))
    return rows


if __name__ == "__main__":
    sys.exit(main())
