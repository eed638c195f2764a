"""How far do facts in words alone reach? `python -m tools.bench.texts DATA [--limit 100] [--misses OUT.json]`

Every fact of a file (zsRE, CounterFact, KnowEdit, fact files) in one bundle, as `okedit eval --sequential`
holds them; then every question about text is decided: does the fact's own edit fire, or, of what is to stay,
none? Nothing is generated and no value is fitted, so that a thousand facts take minutes. CounterFact's
generation prompts are told apart by what they ask for (asked.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS, Case
from okedit_cli.generate import decide
from tools.bench.ablation import held
from tools.bench.asked import asked_for

COLUMNS = {"rel": "the edit itself", "t_gen": "other wordings", "t_loc": "left alone"}
BATCH = 64


@dataclass(frozen=True)
class Decided:
    """One question, and what came of it; `reach` is the distance to the nearest edit in radii of it."""

    case: str
    metric: str
    fact: str
    asked: str
    right: bool
    fired: str | None
    nearest: str | None
    reach: float
    rejection: str
    kind: str = ""


def main(words: Sequence[str] | None = None) -> None:
    """Print the shares, and write what was decided wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.texts", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="the first so many facts. [default: all]")
    parser.add_argument("--misses", type=Path, help="where what was decided wrongly is listed, as JSON")
    given = parser.parse_args(words)
    cases = [case for case in present(load_cases(given.data)).cases if case.picture is None][: given.limit]
    found = decided(okedit_cli.load_model("okedit-mini"), cases)
    print(f"{given.data.name}: {len(cases)} facts at once, percent of questions decided as they should be")
    kinds = sorted({one.kind for one in found})
    for kind in ("", *(kinds if len(kinds) > 1 else ())):
        part = [one for one in found if kind in ("", one.kind)]
        print("\n".join([f"{kind}:"] * bool(kind) + told(shares(part))))
    if given.misses:
        missed = [asdict(one) for one in found if not one.right]
        given.misses.write_text(json.dumps(missed, indent=1, ensure_ascii=False), encoding="utf-8")


def decided(loaded, cases: Sequence[Case]) -> list[Decided]:
    """Every question of COLUMNS about the cases, all of which are held at once."""
    rows = [
        (case, metric, probe.prompt)
        for case in cases
        for _, metric, probe in case.probes()
        if metric in COLUMNS and probe.picture is None
    ]
    out = []
    with okedit_cli.attach(loaded, [held(loaded, [case.fact() for case in cases])]):
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            verdicts = decide(loaded, [(prompt, None) for _, _, prompt in some])
            out += [_row(*row, verdict) for row, verdict in zip(some, verdicts, strict=True)]
    return out


def _row(case: Case, metric: str, prompt: str, verdict) -> Decided:
    fired = verdict.hit.edit_id if verdict.hit else None
    near = verdict.nearest
    right = fired == (case.id if METRICS[metric].positive else None)
    reach = near.question_distance / near.question_radius if near and near.question_radius else float("inf")
    return Decided(
        case.id,
        metric,
        case.prompt,
        prompt,
        right,
        fired,
        near and near.edit_id,
        reach,
        verdict.rejection,
        asked_for().get(case.id, case.kind),
    )


def told(found: dict[str, float]) -> list[str]:
    """A line for each share."""
    return [f"  {COLUMNS[metric]:16} {100 * share:5.1f}" for metric, share in found.items()]


def shares(found: Sequence[Decided]) -> dict[str, float]:
    """Metric -> the share of its questions that are decided as they should be."""
    right = defaultdict(list)
    for one in found:
        right[one.metric].append(one.right)
    return {metric: sum(some) / len(some) for metric, some in right.items()}


if __name__ == "__main__":
    sys.exit(main())
