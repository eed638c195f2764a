"""Data sets in their authors' formats, as cases."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate.case import Case, DataSet
from okedit_cli.evaluate.readers import (
    cknowedit,
    comprehendedit,
    counterfact,
    factfile,
    knowedit,
    mmedit,
    mmke,
    mquake,
    okedit,
    rippleedits,
    zsre,
)
from okedit_cli.evaluate.readers.detect import FORMATS, detect, is_fact_file
from okedit_cli.evaluate.readers.rows import Row, Table
from okedit_cli.evaluate.readers.source import MAX_REPORTED, read_rows
from okedit_cli.facts.stand_ins import Fetch

__all__ = ["FORMATS", "load_cases", "present"]

_READERS: dict[str, Callable[[Row], Case]] = {
    "mmedit": mmedit.read,
    "vlkeb": mmedit.read,
    "okedit": okedit.read,
    "zsre": zsre.read,
    "counterfact": counterfact.read_flat,
    "counterfact-original": counterfact.read_original,
    "knowedit": knowedit.read,
    "cknowedit": cknowedit.read,
    "mquake": mquake.read,
    "rippleedits": rippleedits.read,
    "mmke": mmke.read,
    "comprehendedit": comprehendedit.read,
}
# what a format has to put together before its rows can be read
_PREPARE: dict[str, Callable[[Table], None]] = {"okedit": okedit.prepare}


def load_cases(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    images: str | os.PathLike[str] | None = None,
    fetch: Fetch | None = None,
) -> DataSet:
    """All cases of a file; pictures are not looked at. `images` is their root, else the file's own folder.
    `fetch` gets those that are named by URL (okedit_cli.facts.remote.Remote).


    InvalidFacts names file and row of up to 20 problems; UsageError: there is no such format.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", hint=f"Formats: {', '.join(FORMATS)}.")
    if format == "facts" or (format is None and is_fact_file(path)):
        return factfile.read(path, fetch)
    rows, sha256 = read_rows(path)
    table = Table(path, rows, sha256, Path(images) if images is not None else path.parent, fetch)
    name = format or detect(path, table.rows[0])
    if name in _PREPARE:
        _PREPARE[name](table)
    cases, left_out = table.cases(_READERS[name])
    if not cases:
        raise InvalidFacts(f"{path} has no case: {left_out[0][1] if left_out else 'all rows are empty'}.")
    return DataSet(path, name, cases, table.sha256, left_out)


def present(data: DataSet, *, skip_missing: bool = False) -> DataSet:
    """The data set when all its pictures are there; with `skip_missing` without the cases that lack one.

    InvalidFacts names and counts what is missing, and is raised as well when nothing would be left.
    """
    missing = {case.id: lost for case in data.cases if (lost := _missing(case.all_pictures()))}
    if not missing:
        return data
    where = "line" if data.format == "facts" else "row"
    told = [
        f"{data.path}: {where} {case.row}: picture not found: {picture}"
        for case in data.cases
        for picture in missing.get(case.id, ())
    ]
    if not skip_missing or len(missing) == len(data.cases):
        more = len(told) - MAX_REPORTED
        lines = [
            f"{len(missing)} of {len(data.cases)} cases of {data.path} lack a picture.",
            *told[:MAX_REPORTED],
            *([f"... and {more} more"] if more > 0 else []),
        ]
        hint = "--images names the folder that picture paths start from"
        hint += "; --skip-missing goes on without these cases." if len(missing) < len(data.cases) else "."
        raise InvalidFacts("\n".join(lines), hint=hint)
    lost = (
        (case.row, f"picture not found: {missing[case.id][0]}") for case in data.cases if case.id in missing
    )
    kept = tuple(case for case in data.cases if case.id not in missing)
    return replace(data, cases=kept, left_out=(*data.left_out, *lost))


def _missing(pictures: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(picture for picture in pictures if not _is_file(picture))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system has
        return False
