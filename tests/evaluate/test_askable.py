"""Cases are looked at before the first question: what is amiss is told by row, or left out and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeBench, cases
from PIL import Image

from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate import askable, evaluate_on
from okedit_cli.evaluate.case import DataSet, Probe
from okedit_cli.evaluate.plan import Plan
from okedit_cli.evaluate.result import Result

HALF = "an owl \ud83d"


def data(found, folder: Path) -> DataSet:
    """The cases with pictures that are there."""
    for case in found:
        for picture in case.all_pictures():
            Image.new("RGB", (4, 4), "red").save(folder / picture)
    return DataSet(folder / "set.json", "okedit", tuple(found), "0" * 64)


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("change", [
    {"target": HALF}, {"prompt": HALF}, {"rephrasings": (HALF,)}, {"subject": HALF}, {"truth": (HALF,)},
    {"text_locality": (Probe("Who?", None, ("Ada", HALF)),)}, {"portability": (Probe(HALF, None, ("x",)),)},
    {"pictures": (Path("bad.png"),)}, {"picture_locality": (Probe("What?", Path("bad.png")),)},
    {"kind": HALF}, {"id": HALF},
])  # fmt: skip
def test_all_that_a_case_has_is_looked_at(tmp_path, change):
    found = cases(4)
    whole = data(found, tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = replace(whole, cases=(*whole.cases[:2], replace(found[2], **change), whole.cases[3]))
    with pytest.raises(InvalidFacts, match="row 3: ") as caught:
        askable(bad)
    assert caught.value.exit_code == 3 and "row 1" not in caught.value.message
    left = askable(bad, skip_bad=True)
    assert [case.row for case in left.cases] == [1, 2, 4] and [row for row, _ in left.left_out] == [3]
    assert askable(whole).cases == whole.cases and askable(whole).left_out == ()


def test_others_take_the_place_of_what_is_left_out(tmp_path):
    whole = data(cases(6), tmp_path)
    first = askable(whole, limit=2)
    (tmp_path / "1.png").write_bytes(b"no picture")
    left = askable(whole, limit=5, skip_bad=True)
    assert len(left.cases) == 5 and first.pictures != left.pictures != ""
    with pytest.raises(InvalidFacts, match="row 2: .*1.png"):
        askable(whole)


def test_nothing_left_is_told_even_when_bad_rows_are_skipped(tmp_path):
    whole = data([replace(case, target=HALF) for case in cases(2)], tmp_path)
    with pytest.raises(InvalidFacts, match="2 of 2 cases"):
        askable(whole, skip_bad=True)


def test_what_the_model_refuses_is_told_by_its_row(tmp_path):
    whole = data(cases(3), tmp_path)

    def refusal(text, is_answer):
        return (
            "is in a tongue of its own" if text == "Who leads office 1?" or is_answer and "2" in text else ""
        )

    with pytest.raises(InvalidFacts) as caught:
        askable(whole, refusal=refusal)
    assert "row 2: question 'Who leads office 1?'" in caught.value.message
    assert "row 3: answer 'target 2'" in caught.value.message and "row 1" not in caught.value.message


def test_a_finished_evaluation_is_written_whatever_its_texts_hold(tmp_path):
    """Half characters are refused before; should one come from the model, nothing is lost all the same."""
    found = DataSet(Path("set.json"), "okedit", (replace(cases(1)[0], target=HALF),), "0" * 64)
    result = evaluate_on(FakeBench(), found, plan=Plan(), out=tmp_path / "r.json")
    assert Result.load(tmp_path / "r.json").records == result.records
    assert result.records[0].after == HALF
