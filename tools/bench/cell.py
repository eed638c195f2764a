"""One cell of the table of methods, in a process of its own: `python -m tools.bench.cell SPEC.json`

Called by tools.bench.methods, so that the peak of memory is the cell's. SPEC.json says method, data, edits,
limit, seed, model and images; its folder takes the answers (which a run that was stopped goes on from) and
cell.json, what was measured. What a method cannot do it says there, under "why".
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import okedit_cli
from okedit_cli import fitting
from okedit_cli.errors import OkeditError
from okedit_cli.evaluate import Plan, Result, evaluate, load_cases, present
from okedit_cli.evaluate.case import METRICS
from okedit_cli.facts.pictures import load_picture

SHOWN = ("rel", "t_gen", "i_gen", "port", "holdout", "t_loc", "i_loc", "specificity", "near")
QUERIES = 24  # questions that are timed
TIMED = ("rel", "t_loc", "i_loc", "specificity")  # what they are
# a question is timed in words that no cache holds, after one that brings its picture and its first words
FIRST, TIME = ("Please tell me: {}", "Kindly tell me: {}"), ("Quickly tell me: {}", "Shortly tell me: {}")
FITS, BUNDLE, RESULT, CELL = "fits.jsonl", "bundle.safetensors", "result.json", "cell.json"


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write cell.json; an OkeditError is an outcome too."""
    [path] = map(Path, sys.argv[1:] if words is None else words)
    spec, began = json.loads(path.read_text(encoding="utf-8")), time.perf_counter()
    try:
        found = measured(spec, path.parent)
    except OkeditError as error:
        found = {"why": error.message}
    found |= {"peak_bytes": peak(), "wall_s": round(time.perf_counter() - began, 1)}
    text = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    path.with_name(CELL).write_text(text + "\n", encoding="utf-8")


def measured(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Figures of the edited model's answers, and what edits and queries cost."""
    loaded = okedit_cli.load_model(spec["model"])
    result = _result(loaded, spec, folder)
    found: dict[str, Any] = {"stage": result.stages[-1], "figures": figures(result), "why": ""}
    found["left_out"] = len(result.about["data"]["left_out"])
    if (folder / FITS).exists():
        fits = [json.loads(line) for line in (folder / FITS).read_text(encoding="utf-8").splitlines()]
        found |= costs(fits)
    if (folder / BUNDLE).exists():
        found |= latency(loaded, folder / BUNDLE, asked_of(result))
    return found


def _result(loaded, spec: dict[str, Any], folder: Path) -> Result:
    """The evaluation as `okedit eval` has it: single for one edit, else sequential, `limit` cases scored."""
    out, count, limit = folder / RESULT, spec["edits"], spec["limit"]
    if out.exists():
        return Result.load(out)
    data = present(load_cases(spec["data"], images=spec["images"]), skip_missing=True)
    if count == 1:
        plan = Plan("single", seed=spec["seed"])
    else:
        plan = Plan("sequential", (count,), seed=spec["seed"], sample=limit)
    with watched(folder):
        return evaluate(
            loaded, data, method=spec["method"], plan=plan, limit=limit if count == 1 else count, out=out,
            replace=True, skip_bad=True,
        )  # fmt: skip


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Every fit leaves a line (edits, how many were kept, seconds, bytes of the bundle), the last bundle its
    file. Before the first a fact is fitted for nothing: what a method measures once is no edit's.
    """
    plain, first = fitting.fit, []

    def fit(loaded, facts, **options):
        if not first:
            began = time.perf_counter()
            plain(loaded, facts[:1], **options)
            first.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = plain(loaded, facts, **options)
        row = {"facts": len(facts), "kept": len(found.bundle), "seconds": time.perf_counter() - began}
        path = folder / (BUNDLE if len(found.bundle) else "empty.safetensors")
        found.bundle.save(path)
        row |= {"bytes": path.stat().st_size, "first_s": first[0]}
        row["why"] = next((one.why for one in found.reports if one.kept_out), "")
        with (folder / FITS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return found

    with mock.patch.object(fitting, "fit", fit):
        yield


def costs(fits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over fits of what an edit costs; what was kept out, and why."""
    facts, kept = (sum(row[name] for row in fits) for name in ("facts", "kept"))
    full = [row for row in fits if row["kept"]]
    found = {
        "fitted": facts,
        "kept": kept,
        "kept_out": next((row["why"] for row in fits if row["why"]), ""),
        "first_s": round(fits[0]["first_s"], 4),
        "seconds_an_edit": round(statistics.median(row["seconds"] / row["facts"] for row in fits), 4),
    }
    if full:
        found["bytes_an_edit"] = round(statistics.median(row["bytes"] / row["kept"] for row in full))
    return found


def figures(result: Result) -> dict[str, dict[str, Any]]:
    """Metric, or "i_gen: KIND" -> what was said ("said": exact, or the same as before) and "forced"."""
    found: dict[str, dict[str, Any]] = {}
    for one in result.figures:
        if one.stage != result.stages[-1] or one.kind or one.metric not in (*SHOWN, "hm"):
            continue
        if one.cell and one.metric != "i_gen":
            continue
        said = "exact" if one.metric == "hm" or METRICS[one.metric].positive else "same"
        name = {said: "said", "forced": "forced"}.get(one.measure)
        if name:
            numbers = {"value": one.value, "low": one.low, "high": one.high}
            row = {k: round(v, 6) for k, v in numbers.items()}
            row |= {"cases": one.cases, "questions": one.questions}
            found.setdefault(f"{one.metric}: {one.cell}" if one.cell else one.metric, {})[name] = row
    return found


def asked_of(result: Result) -> list[tuple[str, str | None]]:
    """Questions to be timed, of every kind in turn."""
    rows = {metric: [r for r in result.records if r.metric == metric] for metric in TIMED}
    turns = [row for place in range(QUERIES) for some in rows.values() for row in some[place : place + 1]]
    return list(dict.fromkeys((row.prompt, row.picture) for row in turns))[:QUERIES]


def latency(loaded, bundle: Path, asked: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    """Milliseconds until the first token of one question by itself: the bare model's, and what a bundle adds
    (medians over questions).
    """
    pictures = {path: load_picture(path) for _, path in asked if path}
    bare, added = [], []
    with okedit_cli.attach(loaded, bundle, alone=True) as attachment:
        for text, path in asked:  # in turn, so that both meet what else the machine does
            after = _timed(loaded, text, pictures.get(path), 1)
            with attachment.aside():
                bare.append(_timed(loaded, text, pictures.get(path), 0))
            added.append(after - bare[-1])
    return {
        "queries": len(asked),
        "bare_ms": round(1e3 * statistics.median(bare), 2),
        "ms_a_query": round(1e3 * statistics.median(added), 2),
    }


def _timed(loaded, text: str, picture, form: int) -> float:
    okedit_cli.generate(loaded, [(FIRST[form].format(text), picture)], max_new_tokens=1)
    began = time.perf_counter()
    okedit_cli.generate(loaded, [(TIME[form].format(text), picture)], max_new_tokens=1)
    return time.perf_counter() - began


def peak() -> int:
    """The most memory of this process that was resident, in bytes. Not by getrusage where it can be helped:
    that begins with the parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
