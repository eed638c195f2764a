"""Every method on every data set, in one table. `python -m tools.bench.methods DATA... [--methods a,b]
[--edits 1,100] [--limit N] [--out FILE.json] [--markdown] [--html FILE]`

A cell is a method, a data set and a number of edits: with one, each case is edited on a clean model, with
more all are held at once. It is measured by okedit's own evaluation in a process of its own (cell.py), and
the file is written after each, so that the same command goes on where it was stopped; to measure anew, name
another file. A method that cannot do a cell says why in its row. Percent by free generation / teacher-forced,
with the number of cases in brackets where it is not the row's. An edit's seconds are those of fitting, its
bytes those of the bundle's file, medians over fits; a query's milliseconds what the bundle adds to the bare
model's first token.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FORMAT = "okedit-methods/1"
METRICS = (
    ("rel", "Rel"), ("t_gen", "T-Gen"), ("i_gen", "I-Gen"), ("t_loc", "T-Loc"), ("i_loc", "I-Loc"),
    ("specificity", "Specificity"), ("port", "Port"), ("holdout", "Holdout"), ("hm", "HM"),
)  # fmt: skip
COSTS = ("s an edit", "ms a query", "kB an edit", "peak GB")
NOTHING = "-"


def main(words: Sequence[str] | None = None) -> None:
    """Measure what the file lacks, cell by cell, and print the table."""
    given = _arguments(words)
    specs = [
        {
            "method": method, "data": str(path.resolve()), "sha256": _sha256(path), "edits": count,
            "limit": given.limit, "seed": given.seed, "model": _model(given.model), "images": given.images,
        }
        for path in given.data
        for count in given.edits
        for method in given.methods
    ]  # fmt: skip
    known = read(given.out)
    for number, spec in enumerate(specs, 1):
        key = key_of(spec)
        if settled(known.get(key)):
            continue
        said = f"[{number}/{len(specs)}] {spec['method']}, {Path(spec['data']).name}, {edits(spec['edits'])}"
        print(f"{said} ...", file=sys.stderr, flush=True)
        known[key] = spec | run(spec, given.out.with_name(given.out.name + ".cells") / key, given.minutes)
        write(given.out, known)
        _tell(said, known[key])
    with suppress(OSError):  # something of a cell that failed is there, or there is none
        given.out.with_name(given.out.name + ".cells").rmdir()
    cells = [known[key_of(spec)] for spec in specs]
    if given.html:
        given.html.write_text(page(cells), encoding="utf-8")
    print(markdown(cells) if given.markdown else "", end="")
    if not given.markdown:
        show(cells)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    from okedit_cli.methods import methods

    parser = argparse.ArgumentParser(prog="python -m tools.bench.methods", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--methods", help="comma-separated, and none for the bare model. [default: all]")
    parser.add_argument("--edits", default="1,100", help="how many at once, comma-separated")
    parser.add_argument("--limit", type=int, help="cases that are scored in each cell. [default: all]")
    parser.add_argument("--out", type=Path, default=Path("results/methods.json"))
    parser.add_argument("--markdown", action="store_true", help="print a table for a README")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the table as a page, too")
    parser.add_argument("--model", default="okedit-mini")
    parser.add_argument("--images", help="the folder that pictures start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="that a cell may take. [default: no end]")
    given = parser.parse_args(words)
    known = [*methods(), "none"]
    given.methods = given.methods.split(",") if given.methods else known[:-1]
    for name in given.methods:
        if name not in known:
            parser.error(f"there is no method {name!r}, expected some of {', '.join(known)}")
    counts = given.edits.split(",")
    if not all(one.isascii() and one.isdecimal() and int(one) > 0 for one in counts):
        parser.error(f"--edits {given.edits}: expected whole numbers from 1, such as 1,100")
    given.edits = sorted({int(one) for one in counts})
    if given.limit is not None and given.limit < 1:
        parser.error(f"--limit {given.limit}: expected a whole number from 1")
    for path in given.data:
        if not path.is_file():
            parser.error(f"{path} is not there, expected a data set")
    return given


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _model(name: str) -> str:
    """A folder by its whole path: cells run elsewhere."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def key_of(spec: dict[str, Any]) -> str:
    """What a cell is found by again: all that its figures depend on, but for okedit itself."""
    told = {name: value for name, value in spec.items() if name != "data"} | {"name": Path(spec["data"]).name}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def settled(cell: dict[str, Any] | None) -> bool:
    """Whether a cell need not be run (again): it has figures, or its method has said why it has none."""
    return cell is not None and not cell.get("failed")


def run(spec: dict[str, Any], folder: Path, minutes: float | None = None) -> dict[str, Any]:
    """A cell's outcome, from a process of its own; the folder is kept where that did not end well."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cell.json").unlink(missing_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "tools.bench.cell", str((folder / "spec.json").resolve())]
    log, failed = folder / "log.txt", ""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("w", encoding="utf-8") as file:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=file, stderr=file, timeout=minutes and 60 * minutes,
                env=os.environ | {"PYTHONPATH": path},
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code, failed = -1, f"not done in {minutes:g} minutes; the same command goes on from there"
    if not failed and code:
        last = [
            line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        end = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
        failed = f"{end}: {last[-1] if last else 'it said nothing'}"
    if failed:
        return {"why": failed, "failed": True}
    found = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    return found


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Cells by their keys; none where there is no file yet. SystemExit for a file of something else."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        sys.exit(f"{path} is there already and no table of methods, so it stays. Name another with --out.")
    return value["cells"]


def write(path: Path, cells: dict[str, dict[str, Any]]) -> None:
    """The file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    text = json.dumps({"format": FORMAT, "cells": cells}, ensure_ascii=False, indent=1, allow_nan=False)
    fresh.write_text(text + "\n", encoding="utf-8")
    os.replace(fresh, path)


def edits(count: int) -> str:
    """A number of edits in words."""
    return "1 edit" if count == 1 else f"{count:,} edits"


def _tell(said: str, cell: dict[str, Any]) -> None:
    took = f", {cell['wall_s']:.0f} s" if "wall_s" in cell else ""
    print(f"{said}{took}{': ' + cell['why'] if cell.get('why') else ''}", file=sys.stderr, flush=True)


def columns_of(cells: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(figure, title) of the metrics that any cell has, kinds of other pictures behind I-Gen."""
    there = {name for cell in cells for name in cell.get("figures", {})}
    found = []
    for name, title in METRICS:
        if name in there:
            found.append((name, title))
        kinds = sorted(one for one in there if one.startswith(f"{name}: "))
        found += [(one, f"{title} {one.partition(': ')[2]}") for one in kinds]
    return found


def rows_of(cells: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Titles and one row a cell, in words; what it could not do stands in the last column."""
    columns = columns_of(cells)
    titles = ["method", "data", "edits", "cases", *(title for _, title in columns), *COSTS, "note"]
    rows = []
    for cell in cells:
        figures = cell.get("figures", {})
        cases = max((one["said"]["cases"] for one in figures.values() if "said" in one), default=None)
        row = [cell["method"], Path(cell["data"]).stem, f"{cell['edits']:,}", _number(cases, "{:,}")]
        row += [_figure(figures.get(name), cases) for name, _ in columns]
        row += [
            _number(cell.get("seconds_an_edit"), "{:.2f}"),
            _number(cell.get("ms_a_query"), "{:+.1f}"),
            _number(cell.get("bytes_an_edit"), "{:,.0f}", 1000),
            _number(cell.get("peak_bytes") if figures else None, "{:.2f}", 1e9),
        ]
        rows.append([*row, note_of(cell)])
    return titles, rows


def note_of(cell: dict[str, Any]) -> str:
    """Why a cell has no figures, or how many edits its method kept out of them."""
    if cell.get("why"):
        return cell["why"]
    out = cell.get("fitted", 0) - cell.get("kept", 0)
    return f"{out} of {cell['fitted']} edits kept out: {cell['kept_out']}" if out else ""


def _figure(found: dict[str, Any] | None, cases: int | None) -> str:
    """ "93.8 / 95.1 (4)": said / forced, percent, of how many cases where these are not the row's."""
    if found is None:
        return NOTHING
    parts = [found[name]["value"] for name in ("said", "forced") if name in found]
    of = next(iter(found.values()))["cases"]
    return " / ".join(f"{100 * value:.1f}" for value in parts) + (f" ({of})" if of != cases else "")


def _number(value: float | None, form: str, unit: float = 1) -> str:
    return NOTHING if value is None else form.format(value / unit if unit != 1 else value)


def markdown(cells: Sequence[dict[str, Any]]) -> str:
    """The table as a README has it."""
    titles, rows = rows_of(cells)
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join("| " + " | ".join(one.replace("|", "\\|") for one in line) + " |\n" for line in lines)


def page(cells: Sequence[dict[str, Any]]) -> str:
    """The table as a page of its own."""
    from html import escape

    titles, rows = rows_of(cells)
    head = "".join(f"<th>{escape(one)}</th>" for one in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>\n" for row in rows)
    style = (
        "body{font:14px sans-serif}table{border-collapse:collapse}td,th{padding:.3em .6em;text-align:right}"
    )
    style += "td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Methods</title><style>{style}</style>\n'
        f"<p>Percent by free generation / teacher-forced.</p>\n<table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody></table></html>\n"
    )


def show(cells: Sequence[dict[str, Any]]) -> None:
    """The table on the terminal; as wide as it needs where there is none."""
    from rich.console import Console
    from rich.table import Table

    titles, rows = rows_of(cells)
    table = Table(caption="percent by free generation / teacher-forced", caption_justify="left")
    for number, title in enumerate(titles):
        table.add_column(title, justify="left" if number in (0, 1, len(titles) - 1) else "right")
    for number, row in enumerate(rows):
        ends = number + 1 < len(rows) and rows[number + 1][1:3] != row[1:3]  # of one data set and count
        table.add_row(*row, end_section=ends)
    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
