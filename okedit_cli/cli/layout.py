"""How a table is laid out in so many columns of a terminal. Not here: what stands in it, and where it goes.

Ids, figures and words are never broken: where a table is too wide, texts are wrapped at their spaces and
headings take two lines, then columns that can be spared are left out, and in the end each row is a block of
lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

READABLE = 20  # a text is wrapped to no narrower column
_GAP = 3  # between two columns
_INDENT = 4  # of the further lines of a wrapped text


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: Collection[str] = (),
    spare: Sequence[str] = (),
) -> list[str]:
    """Print it as wide as the console; returns the columns that were left out.

    The first column and `texts` stand to the left, others to the right; `texts` may be wrapped. `spare` are
    left out, the first one first, where that makes room.
    """
    for heading, count in ((str, 0), *((_broken, count) for count in range(len(spare) + 1))):
        dropped = [name for name in columns if name in spare[:count]]
        kept = [number for number, name in enumerate(columns) if name not in dropped]
        names = [columns[number] for number in kept]
        cells = [[row[number] for number in kept] for row in rows]
        if _needed([heading(name) for name in names], names, cells, texts) <= console.width:
            console.print(_table([heading(name) for name in names], names, cells, texts))
            return dropped
    for row in rows:
        _print_block(console, columns, row, texts)
    return []


def _broken(heading: str) -> str:
    """The heading on two lines, as narrow as its words allow."""
    words = heading.split()
    halves = ((" ".join(words[:count]), " ".join(words[count:])) for count in range(1, max(2, len(words))))
    return "\n".join(min(halves, key=lambda half: max(map(cell_len, half)))).strip()


def _width(text: str) -> int:
    return max((cell_len(line) for line in text.splitlines()), default=0)


def _needed(
    headings: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str]
) -> int:
    total = _GAP * (len(headings) - 1)
    for number, heading in enumerate(headings):
        widest = max((_width(row[number]) for row in rows), default=0)
        if number and names[number] in texts:
            spelled = (_width(word) for row in rows for word in row[number].split())
            widest = min(widest, max(READABLE, *spelled, 0))
        total += max(_width(heading), widest)
    return total


def _table(
    headings: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str]
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, (heading, name) in enumerate(zip(headings, names, strict=True)):
        text = number and name in texts
        left = not number or text
        table.add_column(
            heading, justify="left" if left else "right", overflow="fold", no_wrap=not text, vertical="top"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_block(
    console: Console, columns: Sequence[str], row: Sequence[str], texts: Collection[str]
) -> None:
    """The first cell, and below it a line a column."""
    console.print(Text(row[0], style="bold"), soft_wrap=True)
    for name, cell in zip(columns[1:], row[1:], strict=True):
        line = f"  {name}: {cell}"
        for part in _wrapped(line, console.width) if name in texts else [line]:
            console.print(Text(part), soft_wrap=True)


def _wrapped(line: str, width: int) -> Iterator[str]:
    """The line as several, its words whole; those after the first stand in a little."""
    start = line[: len(line) - len(line.lstrip())]
    for word in line.split():
        if start.strip() and cell_len(start) + 1 + cell_len(word) > width:
            yield start
            start = " " * _INDENT
        start += f" {word}" if start.strip() else word
    yield start
