"""What an evaluation will need, looked at before the first question: pictures that open, texts that a model
can be asked and a file can hold. What is amiss is told with its row, or the case is left out.

Pictures that are not there at all are for readers.present; whether a result can be written is for the caller.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import InvalidFacts, OkeditError
from okedit_cli.evaluate.bench import Progress, Question
from okedit_cli.evaluate.case import Case, DataSet
from okedit_cli.evaluate.grid import in_order, with_grid

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

SHOWN = 20  # rows that a message names
Refusal = Callable[[str, bool], str]  # (text, whether it is an answer) -> why the model cannot take it, or ""


def askable(
    data: DataSet,
    *,
    seed: int = 0,
    limit: int | None = None,
    skip_bad: bool = False,
    refusal: Refusal | None = None,
    progress: Progress | None = None,
) -> DataSet:
    """The data set, when all that the cases to be used need is in order; else, with `skip_bad`, without the
    cases that lack it, in whose place others are used.

    InvalidFacts names the rows, and is raised as well when nothing would be left. Looks at what used_cases()
    takes, and sums up the pictures among it in `pictures`.
    """
    judge, bad = _Judge(refusal), {}
    while True:
        left = dataclasses.replace(data, cases=tuple(case for case in data.cases if case.id not in bad))
        used = used_cases(left, seed, limit)
        for number, case in enumerate(used):
            judge.look(case)
            if progress is not None and number % 50 == 49:
                progress("looking at pictures and texts", number + 1, len(used))
        if judge.is_content:
            break
        found = {case.id: (case.row, why) for case in left.cases if (why := judge.amiss(case))}
        if not found:  # what is amiss is in cases that are left out already
            break
        bad |= found
        if not skip_bad or len(bad) == len(data.cases):
            raise _told(data, bad, skip_bad)
    lost = [(case.row, bad[case.id][1]) for case in data.cases if case.id in bad]
    return dataclasses.replace(left, left_out=(*data.left_out, *lost), pictures=judge.pictures(used))


def used_cases(data: DataSet, seed: int, limit: int | None) -> list[Case]:
    """The cases that an evaluation takes, in its order, each with its near negatives."""
    return in_order(with_grid(data.cases, seed), seed)[:limit]


def answers_of(cases: Sequence[Case]) -> dict[Question, set[str]]:
    """What is right of each question of the cases."""
    found: dict[Question, set[str]] = {}
    for case in cases:
        for _, _, probe in case.probes():
            found.setdefault(Question(probe.prompt, probe.picture), set()).update(probe.answers)
    return found


def model_refusal(loaded: LoadedModel) -> Refusal:
    """Why a model cannot be asked a question or spell an answer, by putting it into tokens."""
    from okedit_cli.models.control import control_token_in, words_for
    from okedit_cli.models.encode import answer_ids, encode_row

    def refusal(text: str, is_answer: bool) -> str:
        token = control_token_in(loaded, text)
        if token is not None:
            return words_for("it", token, loaded)
        try:
            answer_ids(loaded, text) if is_answer else encode_row(loaded, text, None)
        except OkeditError as error:
            return error.message
        return ""

    return refusal


class _Judge:
    """Every picture and text looked at once, and what is amiss with it."""

    def __init__(self, refusal: Refusal | None) -> None:
        self._refusal, self._amiss = refusal, {}

    def look(self, case: Case) -> None:
        for item in _items(case):
            if item not in self._amiss:
                self._amiss[item] = self._judged(*item)

    @property
    def is_content(self) -> bool:
        """Whether nothing is amiss with anything that was looked at."""
        return not any(self._amiss.values())

    def amiss(self, case: Case) -> str:
        """What is amiss with the first thing of a case that is not in order; "" when all is."""
        return next((why for item in _items(case) if (why := self._amiss.get(item))), "")

    def pictures(self, cases: Sequence[Case]) -> str:
        """sha256 over the contents of the cases' pictures, in their order; "" without any."""
        paths = [item for case in cases for kind, item in _items(case) if kind == "picture"]
        if not paths:
            return ""
        return hashlib.sha256("".join(_picture(path, _stamp(path))[1] for path in paths).encode()).hexdigest()

    def _judged(self, kind: str, item: Any) -> str:
        if kind == "picture":
            return _picture(item, _stamp(item))[0] or _half(str(item))
        why = _half(item)
        if not why and self._refusal is not None and kind in ("question", "answer"):
            why = self._refusal(item, kind == "answer")
        return f"{kind} {_short(item)}: {why}" if why else ""


def _items(case: Case) -> Iterator[tuple[str, Any]]:
    """All that a case brings: its pictures, questions, answers, and the texts that only the result holds."""
    for picture in case.all_pictures():
        yield "picture", picture
    for _, _, probe in case.probes():
        yield "question", probe.prompt
    for probe in case.supporting:
        yield "question", probe.prompt
    for picture in dict.fromkeys(probe.picture for probe in case.supporting if probe.picture is not None):
        yield "picture", picture
    yield "answer", case.target
    for text in dict.fromkeys(_texts(case)):
        yield "text", text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _texts(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name))


def _half(text: str) -> str:
    """Why a text cannot be written to a file: it has half of a character in it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return f"it has the lone surrogate U+{code:04X}, half of a character, expected whole characters"
    return ""


def _short(text: str) -> str:
    """A text for a message, on one line and with half characters written out."""
    text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return f"'{text if len(text) <= 80 else text[:77] + '...'}'"


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    except (OSError, ValueError):
        return 0, -1


@cache
def _picture(path: Path, stamp: tuple[int, int]) -> tuple[str, str]:
    """(why it cannot be opened, sha256 of the file); `stamp` tells a file that was changed."""
    from okedit_cli.facts.pictures import load_picture, picture_sha256

    try:
        load_picture(path)
        return "", picture_sha256(path)
    except InvalidFacts as error:
        return error.message.rstrip("."), ""


def _told(data: DataSet, bad: dict[str, tuple[int, str]], skip_bad: bool) -> InvalidFacts:
    where = "line" if data.format == "facts" else "row"
    rows = sorted(bad.values())
    lines = [
        f"{len(bad)} of {len(data.cases)} cases of {data.path} cannot be asked.",
        *(f"{data.path}: {where} {row}: {why}" for row, why in rows[:SHOWN]),
        *([f"... and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []),
    ]
    hint = "Mend them." if skip_bad else "Mend them, or go on without these cases with --skip-bad."
    return InvalidFacts("\n".join(lines), hint=hint)
