"""Tables at every width: ids and headings whole, figures never lost without a word."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from okedit_cli.cli import show, tables
from okedit_cli.cli.layout import print_table
from okedit_cli.evaluate.report.table import COLUMNS, SPARE

ID = "parrot-language-of-mr-ashdown"
PROMPT = "Which language does the parrot of Mr. Ashdown speak when nobody is in the room?"
FACT = [ID, PROMPT, "Welsh", "picture", "fc898c685c70", "yes", "6/6", "21/21", "0.908"]
SCOPE = ["scope: over-reaching", "3.0 [0-9]", "100.0 [100-100]", "100.0 [100-100]", "-", "12", "-"]


def printed(width, columns, rows, **options):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    return print_table(console, columns, rows, **options), console.file.getvalue()


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40, 30, 12])
@pytest.mark.parametrize(
    ("columns", "row", "texts", "spare"),
    [(show.COLUMNS, FACT, show.WORDS, show.SPARE), (COLUMNS, SCOPE, (), SPARE)],
)
def test_no_cell_and_no_word_is_broken_at_any_width(width, columns, row, texts, spare):
    left_out, text = printed(width, columns, [row], texts=texts, spare=spare)
    assert set(left_out) <= set(spare)
    for name, cell in zip(columns, row, strict=True):
        if name in left_out:
            continue
        # a block begins with its row's id, without a heading
        assert name == columns[0] or all(word in text for word in name.split())
        assert all(word in text for word in cell.split()) if name in texts else cell in text
    longest = max(len(line) for line in text.splitlines())
    assert longest <= max(width, *map(len, row[:1]), *(len(f"  {name}: ") + 24 for name in columns))


def test_a_wide_terminal_has_one_line_a_row():
    left_out, text = printed(300, show.COLUMNS, [FACT, FACT], texts=show.WORDS, spare=show.SPARE)
    assert left_out == [] and len(text.splitlines()) == 4


def test_columns_are_spared_in_their_order_and_blocks_leave_none_out():
    assert printed(80, COLUMNS, [SCOPE], spare=SPARE)[0] == list(SPARE[:2])
    left_out, text = printed(30, COLUMNS, [SCOPE], spare=SPARE)
    assert left_out == [] and all(name in text for name in COLUMNS[1:])


def test_the_table_of_edit_fits_eighty_columns():
    _, text = printed(80, tables.COLUMNS, [["office-cat", "yes", "picture", "6/6", "21/21", "0.903", "12.3"]])
    assert len(text.splitlines()[-1].split()) == len(tables.COLUMNS)


def test_wide_characters_count_as_wide():
    _, text = printed(20, ["id", "answer"], [["a", "東京 大阪 京都 名古屋 札幌"]], texts=["answer"])
    assert all(cell_len(line) <= 20 for line in text.splitlines())
    assert text.split()[-5:] == "東京 大阪 京都 名古屋 札幌".split()


def test_a_table_without_rows_is_its_heading():
    assert printed(80, COLUMNS, [])[1].split()[0] == "exact"
