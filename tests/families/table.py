"""The README's table of families, written from what a run of these tests really found.

`python -m pytest tests/families --families-table README.md` puts it between the marks below; a file that has
no marks is written whole. Not here: which families are run (check.chosen).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from families import check

BEGIN, END = "<!-- families: written by `make families-table` -->", "<!-- families: end -->"
HEAD = ("family", "class", "picture", "text", "batch", "tested")
# the checks that a column stands for; a column says yes where all of them passed
IN_WORDS = ("own_prompt_in_words", "own_prompt_with_thinking")
TOGETHER = ("three_with_pads", "own_prompts_in_one_batch")
IN_PICTURES = ("own_prompt_with_",)
SHOWN = 4  # checks that failed which a row names

_found: dict[str, dict[str, str]] = defaultdict(dict)  # family -> check -> passed, failed or skipped


def note(report) -> None:
    """Take down how one phase of one test ended."""
    name, _, rest = report.nodeid.rpartition("::")[2].partition("[")
    family = next((one for one in rest.rstrip("]").split("-") if one in check.ALL), None)
    if family is None or not name.startswith("test_"):
        return
    known = _found[family]
    check_of = f"{name.removeprefix('test_')}[{rest}"
    if report.when == "call" or report.outcome != "passed":
        known[check_of] = "failed" if "failed" in (report.outcome, known.get(check_of)) else report.outcome


def rows() -> list[tuple[str, ...]]:
    """A row a family that was run, in the order of check.ALL."""
    return [_row(family, _found[family]) for family in check.ALL if family in _found]


def _row(family: str, found: dict[str, str]) -> tuple[str, ...]:
    passed = [one for one, outcome in found.items() if outcome == "passed"]
    failed = [one for one, outcome in found.items() if outcome == "failed"]
    words = [one for one in found if one.startswith(IN_WORDS)]
    sights = [one for one in found if one.startswith(IN_PICTURES) and one not in words]
    took = [one for one in found if one.startswith("facts_take")]

    def all_of(names: list[str]) -> str:
        return "yes" if names and not {*names, *took} & {*failed} else "no"

    sight = all_of(sights) if family in check.PICTURED else "–"
    if sight == "yes" and family in check.ONE_PICTURE:
        sight = "one a prompt"
    tested = f"{len(passed)} of {len(passed) + len(failed)} checks"
    if failed:
        names = sorted({one.partition("[")[0].replace("_", " ") for one in failed})
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        tested += f": not {', '.join(names[:SHOWN])}{more}"
    return (
        family,
        f"`{check.CLASSES.get(family, '?')}`",
        sight,
        all_of(words),
        all_of([one for one in found if one.startswith(TOGETHER)]),
        tested,
    )


def text() -> str:
    """The table as markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(file: Path) -> None:
    """Put the table between a file's marks, or write the file."""
    whole = file.read_text(encoding="utf-8") if file.exists() else ""
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        before, after = "", "\n"
    file.write_text(f"{before}{BEGIN}\n{text()}\n{END}{after}", encoding="utf-8")
