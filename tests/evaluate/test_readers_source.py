"""A data set's file: JSON and JSON Lines, numbers as they are written, what is no data set."""

from __future__ import annotations

import json

import pytest
from evaluate.reader_rows import KNOWEDIT, MMEDIT, ZSRE, one, written

from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate.readers import load_cases


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    ("row", "field"),
    [
        (ZSRE, "alt"), (ZSRE, "pred"), (ZSRE, "loc"), (ZSRE, "answers"), (MMEDIT, "image"),
        (KNOWEDIT, "target_new"), (KNOWEDIT, "ground_truth"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_row(tmp_path, row, field, number):
    rows = json.dumps([row, {**row, "answers": [], field: "@"}]).replace('"@"', number)
    with pytest.raises(InvalidFacts) as caught:
        load_cases(written(tmp_path, rows))
    assert f"row 2: {field} is {number}, an empty cell, expected text" in caught.value.message


@pytest.mark.parametrize("number", ["1.10", "4e3", "-0.0", "12345678901234567890.5", "7"])
def test_a_number_is_said_as_it_is_written(tmp_path, number):
    rows = json.dumps([{**ZSRE, "alt": "@"}]).replace('"@"', number)
    assert load_cases(written(tmp_path, rows)).cases[0].target == number


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_json_lines_end_at_line_feeds_only(tmp_path, sign, end):
    row = json.dumps({**ZSRE, "src": "What@does it make?"}, ensure_ascii=False)
    row = row.replace("@", json.dumps(sign)[1:-1] if sign < " " else sign)
    cases = load_cases(written(tmp_path, end.join([row, "", row]), "data.jsonl")).cases
    assert [case.prompt for case in cases] == [f"What{sign}does it make?"] * 2


def test_broken_lines_of_json_lines_are_named_by_their_own_numbers(tmp_path):
    row = json.dumps({**ZSRE, "src": "a\u2028b"}, ensure_ascii=False)
    path = written(tmp_path, "\n".join([row, row, "", "{broken", row, row[:-1]]))
    with pytest.raises(InvalidFacts) as caught:
        load_cases(path)
    told = [line.partition(" is not JSON")[0] for line in caught.value.message.splitlines()]
    assert told == [f"{path}: line 4", f"{path}: line 6"]
    path = written(tmp_path, json.dumps([ZSRE, ZSRE], indent=1).replace('"x"', "x", 1))
    with pytest.raises(InvalidFacts, match=r"line 13 is not JSON: Expecting value"):
        load_cases(path)


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path):
    path = written(tmp_path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(InvalidFacts, match="is a Git LFS pointer") as caught:
        load_cases(path)
    assert "git lfs pull" in caught.value.hint


def test_a_picture_by_url_is_told_with_its_row(tmp_path):
    with pytest.raises(InvalidFacts, match=r'row 1: image is the URL "https://example.org/a.png"'):
        one(tmp_path, {**MMEDIT, "image": "https://example.org/a.png"})
