"""What is each stage of the router worth? `python -m tools.bench.ablation DATA --limit 400 --sample 100`

Every edit of the cases in one bundle, routed with all stages and with each left out; then every question of
the first cases is judged: does its own edit fire or give its note, or, outside of its scope, none? Nothing is
generated and no value is fitted, and what the model sees in a picture is kept from row to row. Percent of
questions.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS, Case
from okedit_cli.evaluate.grid import in_order, with_grid
from okedit_cli.facts import Fact
from okedit_cli.facts.pictures import load_picture
from okedit_cli.generate import decide
from okedit_cli.methods.values import Values
from okedit_cli.models.memory import bounds, keeping, set_bounds
from okedit_cli.models.sites import hidden_size
from okedit_cli.scope.router import STAGES

KEPT_BYTES = 6 << 30  # of pictures with what is known of them; a thousand take about two gigabytes
COLUMNS = (
    "rel",
    "t_gen",
    "i_gen view",
    "i_gen artist",
    "i_gen photograph",
    "t_loc",
    "i_loc",
    "specificity",
    "near",
)


def main(words: Sequence[str] | None = None) -> None:
    """Print a table in Markdown, row by row."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.ablation", description=__doc__.split("\n")[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--sample", type=int, help="cases whose questions are judged. [default: all held]")
    parser.add_argument("--stage", action="append", choices=STAGES, help="[default: each]")
    given = parser.parse_args(words)
    loaded = okedit_cli.load_model("okedit-mini")
    cases = in_order(with_grid(present(load_cases(given.data)).cases))[: given.limit]
    pictures: dict[Path, object] = {}
    sample = cases[: given.sample]
    print(f"| {len(cases)} edits at once, {len(sample)} judged, percent | {' | '.join(COLUMNS)} |")
    print(f"|---|{'---|' * len(COLUMNS)}", flush=True)
    with remembering(loaded):
        bundle = held(loaded, [case.fact() for case in cases])
        for stage in (None, *(given.stage or STAGES)):
            shares = judged(loaded, sample, bundle, pictures, [stage] if stage else [])
            cells = " | ".join(f"{100 * shares[column]:.1f}" for column in COLUMNS)
            print(f"| {'without ' + stage if stage else 'all stages'} | {cells} |", flush=True)


@contextmanager
def remembering(loaded) -> Iterator[None]:
    """Context: looks and prefixes of all pictures are kept, since every row shows the same ones."""
    before = bounds(loaded)
    set_bounds(loaded, replace(before, looks=KEPT_BYTES, prefixes=KEPT_BYTES))
    try:
        with keeping(loaded):
            yield
    finally:
        set_bounds(loaded, before)


def judged(
    loaded, cases: Sequence[Case], bundle: Bundle, pictures: dict, without: Sequence[str] = ()
) -> dict[str, float]:
    """Column -> the share of its questions that are decided as they should be."""
    right = defaultdict(list)
    with okedit_cli.attach(loaded, [bundle], without=without):
        for case in cases:
            probes = [(metric, probe) for _, metric, probe in case.probes() if metric != "port"]
            asked = [(probe.prompt, shown(probe.picture, pictures)) for _, probe in probes]
            for (metric, probe), verdict in zip(probes, decide(loaded, asked), strict=True):
                acting = verdict.hit or verdict.context
                fired = acting.edit_id if acting else None
                wanted = case.id if METRICS[metric].positive else None
                column = f"{metric} {probe.cell}" if metric == "i_gen" and probe.cell else metric
                right[column].append(fired == wanted)
    return {column: sum(some) / len(some) if (some := right[column]) else float("nan") for column in COLUMNS}


def held(loaded, facts: Sequence[Fact]) -> Bundle:
    """All facts in one bundle, with their reach and without values."""
    with mock.patch("okedit_cli.methods.balancedit.fit_values", _no_values):
        return okedit_cli.fit(loaded, facts, without=["admitted"], checked=False, force=True).bundle


def shown(path: Path | None, pictures: dict):
    """The picture of a file, loaded once; None for none."""
    if path is not None and path not in pictures:
        pictures[path] = load_picture(path)
    return pictures.get(path)


def _no_values(loaded, facts, layer, *, seed=0, rank=1, places=True, done=None):
    width = hidden_size(loaded.model)
    none = torch.zeros(len(facts), 1, width)
    return Values(none, none, torch.zeros(len(facts), width)), [0.0] * len(facts)


if __name__ == "__main__":
    sys.exit(main())
