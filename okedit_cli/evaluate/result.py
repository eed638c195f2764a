"""The result of an evaluation: one JSON file with every answer, from which all figures can be made again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate.case import METRICS, Case, DataSet
from okedit_cli.evaluate.journal import head_of, journal_of
from okedit_cli.evaluate.plan import Plan
from okedit_cli.evaluate.records import Record, from_json, to_json
from okedit_cli.evaluate.scoring import Figure, aggregate

FORMAT = "okedit-eval/1"
_CONTENT = ("format", "figures", "cases", "answers")  # the rest is what a result says of itself
PROTOCOL = {
    "generation": "greedy, the question alone through the model's chat template",
    "exact": "equal to an accepted answer without case, articles and punctuation",
    "contains": "an accepted answer stands in it as whole words",
    "same": "the text is the unedited model's, which was asked before the first edit",
    "forced": "teacher-forced: share of the target's tokens that are top-1, with the end of the answer;"
    " for locality the share of positions whose top-1 is the unedited model's",
    "pre": "the unedited model judged by the target",
    "hm": "harmonic mean of T-Gen, I-Gen and I-Loc (T-Loc without pictures) over cases that have all",
    "scope": "per case: under-reaching when any of edit, rephrasings, other pictures, holdouts lacks the"
    " target; over-reaching when any answer outside changed",
    "near": "questions and pictures of other cases of the data set; a method that is fitted to several cases"
    " at once may have seen them",
    "value": "mean over cases of each case's mean",
    "interval": "95 %: Wilson where cases are right or wrong, or fewer than 10, else a bootstrap over cases",
    "reused": "where the scope lets no edit fire the unedited answer stands, without asking again; of those"
    " questions one in 16 is asked all the same, and all of them should one answer differ",
    "contested": "a negative that another edit of the run is about is not counted",
}


@dataclass
class Result:
    """What was run, every answer, and the figures. `about` is plain JSON."""

    about: dict[str, Any]
    cases: dict[str, dict[str, Any]]
    records: list[Record]
    figures: list[Figure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.figures = self.figures or aggregate(self.records, seed=self.about.get("plan", {}).get("seed", 0))

    @property
    def name(self) -> str:
        """Method and data, as reports call it."""
        shard = self.about.get("shard")
        of = f" (shard {', '.join(map(str, shard['parts'][:20]))} of {shard['of']})" if shard else ""
        return f"{self.about.get('method', '?')} on {self.about.get('data', {}).get('name', '?')}{of}"

    @property
    def stages(self) -> list[str]:
        """Labels of the stages in the order they were run."""
        return list(dict.fromkeys(figure.stage for figure in self.figures))

    def figure(
        self, metric: str, measure: str, *, stage: str | None = None, cell: str = "", kind: str = ""
    ) -> Figure | None:
        """One figure, of the last stage unless told; None when there is none."""
        stage = stage if stage is not None else (self.stages or [""])[-1]
        wanted = (stage, kind, metric, cell, measure)
        return next(
            (f for f in self.figures if (f.stage, f.kind, f.metric, f.cell, f.measure) == wanted), None
        )

    def to_json(self, *, answers: bool = True) -> dict[str, Any]:
        """The result as JSON has it; without `answers` what a summary needs."""
        out = {"format": FORMAT, **self.about, "figures": [figure.to_json() for figure in self.figures]}
        if answers:
            out |= {"cases": self.cases, "answers": [to_json(record) for record in self.records]}
        return out

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; equal runs give equal bytes."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1, allow_nan=False)
        write(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a file of save() and score it anew. InvalidFacts: it is none."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InvalidFacts(f"{path} is not there, expected a result of okedit eval.") from None
        except (ValueError, OSError):
            raise InvalidFacts(f"{path} is no JSON, expected a result of okedit eval.") from None
        if not isinstance(value, dict) or not isinstance(value.get("answers"), list):
            raise InvalidFacts(f"{path} is no result of okedit eval: it has no answers.")
        if value.get("format") != FORMAT:
            raise InvalidFacts(
                f"{path} is in format {value.get('format')!r}, expected {FORMAT}.",
                hint="Run the evaluation again, or read it with the version that wrote it.",
            )
        where = (f"{path}: answer {number}" for number in range(1, len(value["answers"]) + 1))
        records = [from_json(*pair) for pair in zip(value["answers"], where, strict=True)]
        cases = value.get("cases")
        about = {k: v for k, v in value.items() if k not in _CONTENT}
        return cls(about, cases if isinstance(cases, dict) else {}, records)


def about(data: DataSet, used: Sequence[Case], plan: Plan, bench: dict[str, Any]) -> dict[str, Any]:
    """What a result says of itself: protocol, versions, model, method, plan and data; no time, no machine."""
    return {
        "protocol": PROTOCOL,
        "versions": _versions(),
        **bench,
        "plan": plan.to_json(),
        "data": {
            "name": data.path.name,
            "format": data.format,
            "sha256": data.sha256,
            **({"pictures": data.pictures} if data.pictures else {}),
            "cases": len(used),
            "of": len(data.cases),
            "left_out": [[row, why] for row, why in data.left_out],
        },
    }


def cases_json(cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
    """Case id -> what a reader of the result wants to know of it."""
    return {
        case.id: {
            "row": case.row,
            "prompt": case.prompt,
            "target": case.target,
            **({"picture": str(case.picture)} if case.picture is not None else {}),
            **{
                k: v
                for k, v in (("subject", case.subject), ("kind", case.kind), ("before", case.before))
                if v
            },
        }
        for case in sorted(cases, key=lambda case: (case.row, case.id))
    }


def words_of(path: Path) -> dict[str, Any] | None:
    """What the result in a file says of itself; None where the file holds none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not str(value.get("format")).startswith("okedit-eval/"):
        return None
    return {name: item for name, item in value.items() if name not in _CONTENT}


def same_evaluation(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results are of one evaluation: data, model, method, settings and plan, as far as both tell;
    the versions may differ.
    """
    shared = {*one, *other} if "model" in one and "model" in other else {*one} & {*other}
    names = shared - {"protocol", "versions"}
    return all(_plain(one.get(name)) == _plain(other.get(name)) for name in names)


def check_same(path: Path, words: dict[str, Any]) -> None:
    """UsageError when a file is there that is no earlier result of the evaluation that `words` tell of."""
    if not path.exists() or not path.stat().st_size:
        return
    found, hint = words_of(path), "Name another file with -o, or remove this one; --force replaces it."
    if found is None:
        raise UsageError(f"{path} is there already and no result of okedit eval, so it stays.", hint=hint)
    if not same_evaluation(found, words):
        raise UsageError(
            f"{path} is the result of another evaluation: data, model, method, limit or settings differ.",
            hint=hint,
        )


def place_for(plain: Path, words: dict[str, Any]) -> Path:
    """Where the result of this evaluation goes: `plain`, or where another's result or journal lies there a
    name that only this evaluation has. One that was begun or done before keeps its name.
    """
    digest = hashlib.sha256(_plain(words).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    own = plain.with_stem(f"{plain.stem}-{digest}")

    def known(path: Path) -> bool:
        found = words_of(path)
        return _plain(head_of(journal_of(path))) == _plain(words) or (
            found is not None and same_evaluation(found, words)
        )

    free = not (plain.exists() or journal_of(plain).exists())
    return next((path for path in (plain, own) if known(path)), plain if free else own)


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _versions() -> dict[str, str]:
    from importlib import metadata

    from okedit_cli import __version__

    found = {"okedit": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "numpy", "pillow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all; half characters are escaped as JSON escapes them."""
    from okedit_cli.bundle.atomic import atomic_write

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def below(result: Result, bars: dict[str, float]) -> list[str]:
    """What lies below its bar (metric -> percent) in any stage, in words. UsageError: nothing measured it."""
    found = []
    for metric, bar in bars.items():
        measure = "exact" if metric == "hm" or METRICS[metric].positive else "same"
        figures = [f for s in result.stages if (f := result.figure(metric, measure, stage=s)) is not None]
        label = "HM" if metric == "hm" else METRICS[metric].label
        if not figures:
            raise UsageError(f"--min-{metric.replace('_', '-')}: this data has no {label}.")
        found += [
            f"{label} {100 * f.value:.1f} is below {bar:g} ({f.stage})"
            for f in figures
            if 100 * f.value < bar
        ]
    return found
