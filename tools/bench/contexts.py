"""How far do edits reach into longer texts? `python -m tools.bench.contexts DATA [--limit 40]`

Every edit of the cases is held at once. The questions of the cases are decided as they stand, and then with
what people write before them, behind them and around them (contexts.yaml, each in turn): does their own edit
fire, or, outside of its scope, none? Nothing is generated and no value is fitted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS, Case
from okedit_cli.evaluate.grid import in_order, with_grid
from okedit_cli.generate import decide
from tools.bench.ablation import held, remembering, shown

COLUMNS = ("rel", "t_gen", "t_loc", "i_loc", "specificity", "near")


def main(words: Sequence[str] | None = None) -> None:
    """Print a table in Markdown, a row for where something is written."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.contexts", description=__doc__.split("\n")[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--show", action="store_true", help="list on stderr what was decided wrongly")
    given = parser.parse_args(words)
    loaded = okedit_cli.load_model("okedit-mini")
    cases = in_order(with_grid(present(load_cases(given.data)).cases))[: given.limit]
    pictures: dict[Path, object] = {}
    with remembering(loaded), okedit_cli.attach(loaded, [held(loaded, [case.fact() for case in cases])]):
        print(f"| {len(cases)} edits at once, percent | {' | '.join(COLUMNS)} |")
        print(f"|---|{'---|' * len(COLUMNS)}", flush=True)
        for where, written in contexts():
            found = judged(loaded, cases, written, pictures)
            if given.show:
                print(*(wrong for _, wrong in found if wrong), sep="\n", file=sys.stderr)
            print(f"| {where} | {' | '.join(shares(found))} |", flush=True)


def judged(
    loaded, cases: Sequence[Case], written: Callable[[str], str], pictures: dict
) -> list[tuple[str, str]]:
    """(metric, what was decided wrongly or "") of every question of the cases, as `written` writes it."""
    out = []
    for case in cases:
        probes = [(metric, probe) for _, metric, probe in case.probes() if metric in COLUMNS]
        asked = [(written(probe.prompt), shown(probe.picture, pictures)) for _, probe in probes]
        for (metric, _), (text, _), verdict in zip(probes, asked, decide(loaded, asked), strict=True):
            positive = METRICS[metric].positive
            acting = verdict.hit if positive else verdict.hit or verdict.context
            wanted = case.id if positive else None
            right = (acting.edit_id if acting else None) == wanted
            out.append((metric, "" if right else f"{metric} of {case.id}: {text!r}"))
    return out


def shares(found: Sequence[tuple[str, str]]) -> list[str]:
    """Percent of each of COLUMNS that was decided as it should be, "-" where none was asked."""
    rows = [[not wrong for metric, wrong in found if metric == name] for name in COLUMNS]
    return [f"{100 * sum(row) / len(row):.1f}" if row else "-" for row in rows]


def contexts() -> list[tuple[str, Callable[[str], str]]]:
    """(where something is written, a question -> the whole text); each takes what is written in turn."""
    texts = yaml.safe_load(Path(__file__).with_name("contexts.yaml").read_text(encoding="utf-8"))
    before, behind = _Turns(texts["before"]), _Turns(texts["behind"])
    return [
        ("as it stands", lambda question: question),
        ("something before it", lambda question: f"{before.next()} {question}"),
        ("six times as much before it", lambda question: f"{before.next(6)} {question}"),
        ("something behind it", lambda question: f"{question} {behind.next()}"),
        ("both", lambda question: f"{before.next()} {question} {behind.next()}"),
    ]


class _Turns:
    """Texts, each in turn."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts, self._count = texts, 0

    def next(self, many: int = 1) -> str:
        """The next one, or as many as are wanted."""
        self._count += many
        return " ".join(self._texts[i % len(self._texts)] for i in range(self._count - many, self._count))


if __name__ == "__main__":
    sys.exit(main())
