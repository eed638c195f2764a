"""Records to figures: every metric by both protocols, part by part, with counts and 95 % intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from okedit_cli.evaluate.case import METRICS
from okedit_cli.evaluate.metrics import Estimate, contains, estimate, exact, harmonic_estimate, same, wilson
from okedit_cli.evaluate.records import Record

ARTIST, NAMED = "artist", "artist, both named right"  # cells of I-Gen; the second is part of the first
ALL = ""  # the kind and the cell that stand for the whole
SCOPES = ("correct", "under-reaching", "over-reaching", "both")
GENERAL, LOCAL = ("t_gen", "i_gen"), ("i_loc", "t_loc")

Score = Callable[[Record], "float | None"]

# measure -> score of one record; None: the record has no such score
_POSITIVE: dict[str, Score] = {
    "exact": lambda r: float(exact(r.after, r.answers)),
    "contains": lambda r: float(contains(r.after, r.answers)),
    "forced": lambda r: r.forced_after,
    "pre_exact": lambda r: float(exact(r.before, r.answers)),
    "pre_contains": lambda r: float(contains(r.before, r.answers)),
    "pre_forced": lambda r: r.forced_before,
}
_NEGATIVE: dict[str, Score] = {
    "same": lambda r: float(same(r.before, r.after)),
    "forced": lambda r: r.forced_after,
}


@dataclass(frozen=True)
class Figure:
    """One figure of a result. `kind` and `cell` are "" for the whole."""

    stage: str
    kind: str
    metric: str
    cell: str
    measure: str
    value: float
    low: float
    high: float
    cases: int
    questions: int

    def to_json(self) -> dict[str, Any]:
        """The figure as JSON has it, numbers to six places."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def counted(record: Record) -> bool:
    """Whether a record counts: a negative that another edit is about does not."""
    return METRICS[record.metric].positive or not record.contested


def aggregate(records: Iterable[Record], *, seed: int = 0) -> list[Figure]:
    """Every figure of a run; the same for any order of records."""
    stages: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if counted(record):
            stages[record.stage].append(record)
    figures = []
    for stage, found in stages.items():
        kinds = sorted({record.kind for record in found} - {ALL})
        for kind in (ALL, *(kinds if len(kinds) > 1 else ())):
            part = [record for record in found if kind in (ALL, record.kind)]
            figures += _figures(stage, kind, part, seed)
    return figures


def _figures(stage: str, kind: str, records: Sequence[Record], seed: int) -> list[Figure]:
    out: list[Figure] = []

    def add(metric: str, cell: str, measure: str, found: Estimate | None) -> None:
        if found is not None:
            edges = (found.value, found.low, found.high, found.cases, found.questions)
            out.append(Figure(stage, kind, metric, cell, measure, *edges))

    for metric in METRICS.values():
        mine = [record for record in records if record.metric == metric.name]
        cells = sorted({record.cell for record in mine} - {ALL})
        for measure, score in (_POSITIVE if metric.positive else _NEGATIVE).items():
            for cell in (ALL, *cells):
                part = [record for record in mine if cell in (ALL, record.cell)]
                if cell == ARTIST:
                    named = _named_right(records, part)
                    add(
                        metric.name, NAMED, measure, estimate(list(by_case(named, score).values()), seed=seed)
                    )
                add(metric.name, cell, measure, estimate(list(by_case(part, score).values()), seed=seed))
    for measure in ("exact", "contains"):
        add("hm", ALL, measure, _harmonic(records, measure, seed))
    scopes = scope_of(records)
    for name in SCOPES if scopes else ():
        right = sum(scope == name for scope in scopes.values())
        edges = wilson(right, len(scopes))
        add("scope", name, "share", Estimate(right / len(scopes), *edges, len(scopes), len(scopes)))
    return out


def _named_right(records: Sequence[Record], part: Sequence[Record]) -> list[Record]:
    """Other artists' drawings that the unedited model names right, as it does the edit's own picture."""
    known = {r.case for r in records if r.metric == "rel" and exact(r.before, r.truth)}
    return [record for record in part if record.case in known and exact(record.before, record.truth)]


def by_case(records: Iterable[Record], score: Score) -> dict[str, list[float]]:
    """Case -> its scores; records without the score are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        value = score(record)
        if value is not None:
            found[record.case].append(value)
    return found


def _harmonic(records: Sequence[Record], measure: str, seed: int) -> Estimate | None:
    """Of T-Gen, I-Gen and locality, as OKEDIT has it: I-Loc where there is one, else T-Loc.

    Over the cases that have all of them, so that an interval can resample whole cases.
    """
    metrics = [name for name in GENERAL if any(r.metric == name for r in records)]
    local = next((name for name in LOCAL if any(r.metric == name for r in records)), None)
    if not metrics or local is None:
        return None
    columns = [
        by_case((r for r in records if r.metric == name), (_POSITIVE | _NEGATIVE)[how])
        for name, how in (*((name, measure) for name in metrics), (local, "same"))
    ]
    whole = sorted(set.intersection(*(set(column) for column in columns)))
    return harmonic_estimate([[_mean(column[case]) for case in whole] for column in columns], seed=seed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def scope_of(records: Iterable[Record]) -> dict[str, str]:
    """Case -> how far its edit reaches.

    Under-reaching: some question inside (the edit, rephrased, another picture) does not get the target.
    Over-reaching: some question outside changes its answer. What a method was fitted to does not count, and
    what follows from an edit is knowledge, not reach.
    """
    under: dict[str, bool] = defaultdict(bool)
    over: dict[str, bool] = defaultdict(bool)
    for record in records:
        if record.metric in ("rel", *GENERAL, "holdout"):
            under[record.case] |= not contains(record.after, record.answers)
        elif record.metric in (*LOCAL, "specificity", "near") and counted(record):
            over[record.case] |= not same(record.before, record.after)
    return {
        case: SCOPES[under[case] + 2 * over[case]] for case in dict.fromkeys((*sorted(under), *sorted(over)))
    }


def failures(records: Iterable[Record]) -> list[Record]:
    """The records that went wrong: a target that is not given, or an answer that changed; fitted ones too."""
    return [
        record
        for record in records
        if counted(record)
        and not (
            contains(record.after, record.answers)
            if METRICS[record.metric].positive
            else same(record.before, record.after)
        )
    ]
