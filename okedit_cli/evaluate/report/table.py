"""Figures as rows of words, for the terminal and for HTML alike."""

from __future__ import annotations

from collections.abc import Sequence

from okedit_cli.evaluate.case import METRICS
from okedit_cli.evaluate.result import Result
from okedit_cli.evaluate.scoring import SCOPES, Figure

COLUMNS = ("metric", "exact / same", "contains", "teacher-forced", "before the edit", "cases", "questions")
SPARE = ("teacher-forced", "before the edit", "contains")  # left out first where there is no room
KIND_METRICS = ("rel", "t_gen", "i_gen", "t_loc", "i_loc", "specificity", "near", "port")
NOTHING = "-"


def percent(figure: Figure | None) -> str:
    """ "83.3 [61-94]": the value in percent with its interval."""
    if figure is None:
        return NOTHING
    return f"{100 * figure.value:.1f} [{100 * figure.low:.0f}-{100 * figure.high:.0f}]"


def stage_rows(result: Result, stage: str) -> list[tuple[str, ...]]:
    """One row a metric and, below it, one a cell; then the harmonic mean and the scopes."""
    rows = []
    for metric in METRICS.values():
        mine = [f for f in result.figures if (f.stage, f.kind, f.metric) == (stage, "", metric.name)]
        for cell in dict.fromkeys(figure.cell for figure in mine):
            by = {figure.measure: figure for figure in mine if figure.cell == cell}
            main = by["exact" if metric.positive else "same"]
            rows.append(
                (
                    f"  {cell}" if cell else metric.label,
                    percent(main),
                    percent(by.get("contains")),
                    percent(by.get("forced")),
                    percent(by.get("pre_contains")),
                    str(main.cases),
                    str(main.questions),
                )
            )
    exact = result.figure("hm", "exact", stage=stage)
    if exact is not None:
        contains = result.figure("hm", "contains", stage=stage)
        counts = (str(exact.cases), str(exact.questions))
        rows.append(("HM", percent(exact), percent(contains), NOTHING, NOTHING, *counts))
    for scope in SCOPES:
        share = result.figure("scope", "share", stage=stage, cell=scope)
        if share is not None:
            rows.append((f"scope: {scope}", percent(share), *(NOTHING,) * 3, str(share.cases), NOTHING))
    return rows


def legend(result: Result) -> list[str]:
    """A line for each row and column that does not explain itself, of those that the result has."""
    shown = {figure.metric for figure in result.figures}
    measures = {figure.measure for figure in result.figures}
    lines = [
        f"{metric.label}: {metric.words}; right is the {'new' if metric.positive else 'old'} answer"
        for metric in METRICS.values()
        if metric.name in shown
    ]
    if any("/" in figure.cell for figure in result.figures):
        lines.append("  A/B: whose picture / whose question: the edit's own, another's, or none")
    if "hm" in shown:
        lines.append("HM: the harmonic mean of T-Gen, I-Gen and I-Loc, or T-Loc without pictures")
    if "scope" in shown:
        lines.append(
            "scope: cases by what the edit reaches; under-reaching misses a question that it should answer,"
            " over-reaching answers one that it should leave alone"
        )
    lines.append("exact / same: the answer is the wanted one word for word, or the unedited model's")
    if "contains" in measures:
        lines.append("contains: the wanted answer stands in what was said")
    if "forced" in measures:
        lines.append(
            "teacher-forced: tokens of the wanted answer that are likeliest, each after those before"
        )
    return lines


def kind_rows(result: Result, stage: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and one row a kind, where the data has kinds: exact or same of the main metrics."""
    kinds = sorted({f.kind for f in result.figures if f.stage == stage and f.kind})
    names = [
        name
        for name in KIND_METRICS
        if any((f.stage, f.metric) == (stage, name) and f.kind for f in result.figures)
    ]
    rows = []
    for kind in kinds:
        cells = (
            percent(
                result.figure(name, "exact" if METRICS[name].positive else "same", stage=stage, kind=kind)
            )
            for name in names
        )
        rows.append((kind, *cells))
    return ("kind", *(METRICS[name].label for name in names)), rows


def mean_of(
    result: Result, stage: str, metrics: Sequence[str], measure: str
) -> tuple[float, float, float] | None:
    """Mean of the metrics' values and of their intervals' ends; None when none was measured."""
    found = [f for name in metrics if (f := result.figure(name, measure, stage=stage)) is not None]
    if not found:
        return None
    ends = zip(*((f.value, f.low, f.high) for f in found), strict=True)
    return tuple(sum(end) / len(found) for end in ends)
