"""One HTML file that needs nothing else: figures, trade-off, and the failures with what was seen and said."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

from okedit_cli.errors import OkeditError
from okedit_cli.evaluate.case import METRICS
from okedit_cli.evaluate.records import Decision, Record
from okedit_cli.evaluate.report.plot import strictness_curve, trade_off
from okedit_cli.evaluate.report.table import COLUMNS, kind_rows, legend, stage_rows
from okedit_cli.evaluate.result import Result
from okedit_cli.evaluate.scoring import failures
from okedit_cli.evaluate.strictness import curve

SHOWN = 40  # failures of each metric; the JSON has all
THUMBNAIL = 96  # pixels
SAME = 1e-4  # a smaller distance is rounding: keys of one and the same picture or question

MARK = '<meta name="generator" content="okedit eval">'  # by which a report is known as one
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;border-bottom:1px solid #d0d7de;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left;white-space:pre}
.failures td{text-align:left;white-space:normal;max-width:18rem;overflow-wrap:anywhere}
svg{max-width:40rem;font:12px system-ui,sans-serif}svg .grid{stroke:#d0d7de;fill:none}
code,small{color:#57606a}img{display:block}summary{cursor:pointer;font-weight:600;margin:.5rem 0}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}
svg text{fill:#e6edf3}svg .grid{stroke:#30363d}}
"""


def report(results: Sequence[Result]) -> str:
    """The page of one result, or of several beside each other."""
    title = results[0].name if len(results) == 1 else f"{len(results)} evaluations"
    body = [f"<h1>{escape(title)}</h1>", _plot(results), *(_result(result) for result in results)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'{MARK}<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _plot(results: Sequence[Result]) -> str:
    svg = trade_off(results)
    words = (
        "Generality: mean of T-Gen and I-Gen (contains). Locality: mean of T-Loc, I-Loc, Specificity, Near."
        " Bars: means of the 95 % intervals' ends."
    )
    return f"<h2>Trade-off</h2>{svg}<p><small>{escape(words)}</small></p>" if svg else ""


def _result(result: Result) -> str:
    parts = [f"<h2>{escape(result.name)}</h2>", f"<p><small>{escape(_about(result))}</small></p>"]
    parts.append(f"<p><small>{'<br>'.join(map(escape, legend(result)))}</small></p>")
    for stage in result.stages:
        parts.append(f"<h3>{escape(stage)}</h3>{_table(COLUMNS, stage_rows(result, stage))}")
        columns, rows = kind_rows(result, stage)
        if rows:
            parts.append(_table(columns, rows))
        parts.append(_strictness(result, stage))
        mine = failures([record for record in result.records if record.stage == stage])
        parts.append(_failures(result, mine))
    protocol = "".join(
        f"<li><b>{escape(str(name))}</b>: {escape(str(words))}</li>"
        for name, words in dict(result.about.get("protocol", {})).items()
    )
    parts.append(f"<details><summary>Protocol</summary><ul>{protocol}</ul></details>")
    return "".join(parts)


def _strictness(result: Result, stage: str) -> str:
    svg = strictness_curve(curve(result, stage))
    words = (
        "Which questions would be reached with --strictness as it stands below, by the distances of this run."
        " In scope: the edit, its rephrasings and other pictures; outside: all that locality counts."
    )
    if not svg:
        return ""
    return f"<details><summary>Strictness</summary>{svg}<p><small>{escape(words)}</small></p></details>"


def _about(result: Result) -> str:
    data, model = dict(result.about.get("data", {})), dict(result.about.get("model", {}))
    versions = ", ".join(f"{k} {v}" for k, v in dict(result.about.get("versions", {})).items())
    left_out = len(data.get("left_out", ()))
    counts = f"{data.get('cases')} of {data.get('of')} cases ({left_out} rows left out)"
    return f"Model {model.get('name', '?')}; {counts}; {versions}. 95 % intervals in brackets."


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _failures(result: Result, records: Sequence[Record]) -> str:
    parts = []
    names = ("picture", "question", "wanted", "before", "after", "scope", "case")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    for metric in METRICS.values():
        mine = [record for record in records if record.metric == metric.name]
        if not mine:
            continue
        rows = "".join(_failure(result, record) for record in mine[:SHOWN])
        more = f", the first {SHOWN} shown" if len(mine) > SHOWN else ""
        parts.append(
            f"<details><summary>{escape(metric.label)}: {len(mine)} failed{more}</summary>"
            f'<table class="failures">{head}{rows}</table></details>'
        )
    return "".join(parts)


def _failure(result: Result, record: Record) -> str:
    case = result.cases.get(record.case, {})
    positive = METRICS[record.metric].positive
    wanted = " or ".join(record.answers) if positive else "as before"
    cells = (
        escape(f"{record.prompt} ({record.cell})" if record.cell else record.prompt),
        escape(wanted),
        escape(record.before),
        escape(record.after),
        escape(scope_words(record.decision)),
        f"row {escape(str(case.get('row', '?')))}<br><code>{escape(record.case)}</code>",
    )
    return f"<tr><td>{_picture(record.picture)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def scope_words(decision: Decision | None) -> str:
    """What fired or came nearest, with distance against radius in each channel."""
    if decision is None:
        return "nothing was attached"
    if not decision.nearest:
        return "no edit was near"
    verb = "fired" if decision.fired else "nearest"
    if decision.context:
        verb = f"told what {decision.context} says; nearest"
    picture = _channel("picture", decision.picture_distance, decision.picture_radius)
    question = _channel("question", decision.question_distance, decision.question_radius)
    why = f"; {decision.rejection}" if decision.rejection else ""
    return f"{verb}: {decision.nearest}; {picture}; {question}{why}"


def _channel(name: str, distance: float | None, radius: float | None) -> str:
    if radius is None:
        return f"any {name}"
    if distance is None or not math.isfinite(distance):
        return f"no {name} to compare"
    if distance < SAME:
        return f"the same {name}"
    return f"{name} {distance:.3g} {'within' if distance <= radius else 'beyond'} {radius:.3g}"


def _picture(path: str | None) -> str:
    if path is None:
        return "<small>none</small>"
    found = _thumbnail(path)
    if not found:
        return f"<small>not found: {escape(Path(path).name)}</small>"
    return f'<img alt="{escape(Path(path).name, quote=True)}" src="{found}">'


@lru_cache(maxsize=2048)
def _thumbnail(path: str) -> str:
    """A data URI of the picture made small, "" when it cannot be read."""
    from okedit_cli.facts.pictures import load_picture

    try:
        picture = load_picture(Path(path))
    except OkeditError:
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
