"""What is each part of the scope worth? `python -m tools.bench.ablation DATA --limit 400 --sample 100`

Every edit of the cases in one bundle, with all parts and with each left out; then every question of the first
cases is judged: does its own edit fire or give its note, or, outside of its scope, none? Nothing is generated
and no value is fitted, and what the model sees in a picture and says of it is kept from row to row: the first
takes minutes, the others less. Percent of questions; the published method reads whole prompts and is measured
by `okedit eval --method balancedit-paper` instead.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch

import okedit_cli
from okedit_cli.bundle import Bundle
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS, Case
from okedit_cli.evaluate.grid import in_order, with_grid
from okedit_cli.facts import Fact
from okedit_cli.generate import decide
from okedit_cli.methods.base import PARTS
from okedit_cli.methods.values import Values
from okedit_cli.models.sites import hidden_size
from okedit_cli.pictures import load_picture

SCOPE = [part for part in PARTS if part not in ("rank", "places", "admitted")]  # which are parts of values
# parts of a decision, which no bundle is without: where they stand, and what is said in their place
DECIDING = {
    "strangers": ("okedit_cli.strangers._others_nearer", False),
    "rivals": ("okedit_cli.strangers._rivalled", False),
    "passing": ("okedit_cli.outer._passes", False),  # of what surely asks something else
    "own-answers": ("okedit_cli.asked.own_answer", None),  # of the unedited model, in doubt
    "asked-otherwise": ("okedit_cli.deciding.asked_otherwise", None),
}
KEPT_BYTES = 6 << 30  # of pictures with what is known of them; a thousand take about two gigabytes
COLUMNS = ("rel", "t_gen", "i_gen view", "i_gen artist", "t_loc", "i_loc", "specificity", "near")


def main(words: Sequence[str] | None = None) -> None:
    """Print a table in Markdown, row by row."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.ablation", description=__doc__.split("\n")[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--sample", type=int, help="cases whose questions are judged. [default: all held]")
    parser.add_argument("--part", action="append", choices=[*SCOPE, *DECIDING], help="[default: each]")
    given = parser.parse_args(words)
    loaded = okedit_cli.load_model("okedit-mini")
    cases = in_order(with_grid(present(load_cases(given.data)).cases))[: given.limit]
    pictures: dict[Path, object] = {}
    sample = cases[: given.sample]
    print(f"| {len(cases)} edits at once, {len(sample)} judged, percent | {' | '.join(COLUMNS)} |")
    print(f"|---|{'---|' * len(COLUMNS)}", flush=True)
    facts = [case.fact() for case in cases]
    with remembering():
        whole = held(loaded, facts)
        for part in (None, *(given.part or [*SCOPE, *DECIDING])):
            bundle = held(loaded, facts, [part]) if part in PARTS else whole
            with undecided(part):
                shares = judged(loaded, sample, bundle, pictures)
            cells = " | ".join(f"{100 * shares[column]:.1f}" for column in COLUMNS)
            print(f"| {'without ' + part if part else 'all parts'} | {cells} |", flush=True)


@contextmanager
def remembering() -> Iterator[None]:
    """Context: looks and prefixes of all pictures are kept, since every row shows the same ones."""
    with (
        mock.patch("okedit_cli.models.features.LOOKS_BYTES", KEPT_BYTES),
        mock.patch("okedit_cli.models.prefixes.KEPT_BYTES", KEPT_BYTES),
    ):
        yield


def undecided(part: str | None) -> AbstractContextManager:
    """Context: decisions are made without one of DECIDING; with all of them for any other part."""
    if part not in DECIDING:
        return nullcontext()
    place, said = DECIDING[part]
    return mock.patch(place, lambda *about: said)


def judged(loaded, cases: Sequence[Case], bundle: Bundle, pictures: dict) -> dict[str, float]:
    """Column -> the share of its questions that are decided as they should be."""
    right = defaultdict(list)
    with okedit_cli.attach(loaded, [bundle]):
        for case in cases:
            probes = [(metric, probe) for _, metric, probe in case.probes() if metric != "port"]
            asked = [(probe.prompt, shown(probe.picture, pictures)) for _, probe in probes]
            for (metric, probe), decision in zip(probes, decide(loaded, asked), strict=True):
                acting = decision.hit or decision.noted
                fired = acting.edit_id if acting else None
                wanted = case.id if METRICS[metric].positive else None
                column = f"{metric} {probe.cell}" if metric == "i_gen" and probe.cell else metric
                right[column].append(fired == wanted)
    return {column: sum(some) / len(some) if (some := right[column]) else float("nan") for column in COLUMNS}


def held(loaded, facts: Sequence[Fact], without: Sequence[str] = ()) -> Bundle:
    """All facts in one bundle, with their reach and without values."""
    with mock.patch("okedit_cli.methods.balancedit.fit_values", _no_values):
        return okedit_cli.fit(loaded, facts, without=without, checked=False, force=True).bundle


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
