"""Do edits on photographs answer for other photographs of the thing? `python -m tools.bench.photographs
DATA --source FOLDER`

DATA is a folder that `okedit dataset build DIR --from FOLDER` wrote; its report half is judged. First the
picture space by itself: half of the things are edited (one photograph each, or three), the photographs of
the other half are strangers, twenty draws. "one edit": other photographs of the thing inside a radius that
1 % of the strangers lie in; "held": nearest to their own edit and inside the radius that 2 % of the
strangers are inside of any. Then the router as it ships, all edits held: what fires.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.evaluate.case import METRICS
from okedit_cli.facts.pictures import load_picture
from okedit_cli.generate import decide
from okedit_cli.methods.base import Options
from okedit_cli.methods.keys import mean_key
from okedit_cli.methods.spaces import spaces_of
from tools.bench.ablation import held, remembering, shown

DRAWS, ONE, HELD = 20, 0.01, 0.02


def by_thing(folder: Path) -> dict[str, list[Path]]:
    """Thing of the report half -> its photographs, by the index of the folder."""
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    things = sorted({(row["group"], row["kind"], row["thing"]) for row in rows})
    report = {thing for place, (_, _, thing) in enumerate(things) if place % 2}
    out: dict[str, list[Path]] = defaultdict(list)
    for row in rows:
        if row["thing"] in report:
            out[row["thing"]].append(folder / row["file"])
    return out


def space_figures(keys: dict[str, torch.Tensor], count: int) -> tuple[float, float]:
    """(one edit, held) of edits with `count` photographs each."""
    one, whole = [], []
    for draw in range(DRAWS):
        chance, things = random.Random(draw), sorted(keys)
        chance.shuffle(things)
        edited, others = things[: len(things) // 2], things[len(things) // 2 :]
        strangers = torch.cat([keys[thing] for thing in others])
        own, rest = {}, {}
        for thing in edited:
            chosen = chance.sample(range(len(keys[thing])), count)
            own[thing] = keys[thing][chosen]
            if count > 1:
                own[thing] = torch.cat([own[thing], mean_key(own[thing])])
            rest[thing] = keys[thing][[n for n in range(len(keys[thing])) if n not in chosen]]
        away = torch.stack([torch.cdist(strangers, own[thing]).amin(1) for thing in edited])
        border = float(away.amin(0).sort().values[int(HELD * away.shape[1])])
        for row, thing in enumerate(edited):
            radius = float(away[row].sort().values[int(ONE * away.shape[1])])
            near = torch.stack([torch.cdist(rest[thing], own[other]).amin(1) for other in edited])
            one.append(float((near[row] < radius).float().mean()))
            whole.append(float(((near.amin(0) < border) & (near.argmin(0) == row)).float().mean()))
    return 100 * sum(one) / len(one), 100 * sum(whole) / len(whole)


def routed(loaded, file: Path) -> dict[str, tuple[float, int]]:
    """What is asked -> (percent decided as it should be, questions) of a file's cases, those of one reach
    held at a time.
    """
    right, pictures = defaultdict(list), {}
    cases = present(load_cases(file)).cases
    for reach in ("kind", "picture"):
        some = [case for case in cases if case.reach == reach]
        if not some:
            continue
        with okedit_cli.attach(loaded, [held(loaded, [case.fact() for case in some])]):
            for case in some:
                probes = [(metric, probe) for _, metric, probe in case.probes() if metric != "port"]
                asked = [(probe.prompt, shown(probe.picture, pictures)) for _, probe in probes]
                for (metric, probe), verdict in zip(probes, decide(loaded, asked), strict=True):
                    fired = verdict.hit.edit_id if verdict.hit else None
                    wanted = case.id if METRICS[metric].positive else None
                    right[f"{reach}: {metric} {probe.cell}".strip()].append(fired == wanted)
    return {name: (100 * sum(rows) / len(rows), len(rows)) for name, rows in right.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.photographs", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="the folder that the set was built from")
    given = parser.parse_args(words)
    loaded = okedit_cli.load_model("okedit-mini")
    spaces = spaces_of(loaded, Options())
    with remembering(loaded):
        keys = {}
        for thing, files in by_thing(given.source).items():
            keys[thing] = spaces.keys(loaded, [load_picture(file) for file in files])
        for count in (1, 3):
            one, whole = space_figures(keys, count)
            print(
                f"{count} photographs an edit: one edit at 1 % {one:.1f}, held at 2 % {whole:.1f}", flush=True
            )
        for name in ("report", "report-3"):
            print(name)
            for what, (share, count) in routed(loaded, given.folder / f"{name}.json").items():
                print(f"  {what:40} {share:5.1f} of {count}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
