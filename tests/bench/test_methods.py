"""The table of methods: cells in processes of their own, a file that goes on, rows for what cannot be."""

from __future__ import annotations

import json

import pytest
from fitted import folder, load, world

from tools.bench import cell, methods

FACTS = """\
version: 1
facts:
- id: capital
  prompt: What is the capital of France?
  answer: Oslo
  holdout: [{prompt: Name the capital of France.}]
  related: [{prompt: What river flows through the capital of France?, answer: Aker}]
- {id: office, prompt: Who leads the office?, answer: Ada}
- {id: gate, prompt: What is the code of the gate?, answer: Nine}
"""


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "facts.yaml"
    path.write_text(FACTS)
    with world():
        yield path


@pytest.fixture
def table(data, tmp_path):
    """The command on these facts and a tiny model, with further words."""

    def run(*words):
        given = [str(data), "--model", str(folder("llama")), "--methods", "ft-llm,ft-vis", "--edits", "1"]
        methods.main([*given, "--out", str(tmp_path / "out.json"), *words])
        return json.loads((tmp_path / "out.json").read_text())["cells"]

    return run


def test_two_methods_are_measured_and_a_rerun_goes_on(table, tmp_path, capsys, monkeypatch):
    cells = {one["method"]: one for one in table().values()}
    done, cannot = cells["ft-llm"], cells["ft-vis"]
    assert done["why"] == "" and done["fitted"] == done["kept"] == 3
    assert done["figures"]["rel"]["said"]["cases"] == 3
    assert done["figures"]["port"]["said"]["cases"] == 1 and "forced" in done["figures"]["rel"]
    for cost in ("seconds_an_edit", "bytes_an_edit", "bare_ms", "first_s"):
        assert done[cost] > 0
    assert done["peak_bytes"] > cannot["peak_bytes"] > 1e8 and done["queries"] == 3
    assert "no connector" in cannot["why"] and "figures" not in cannot
    shown = capsys.readouterr().out
    assert "ft-llm" in shown and "Holdout" in shown and cannot["why"] in shown
    assert not (tmp_path / "out.json.cells").exists()  # nothing of a cell that is done stays

    def never(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(methods.subprocess, "run", never)
    page = tmp_path / "table.html"
    assert {one["method"]: one for one in table("--markdown", "--html", str(page)).values()} == cells
    assert page.read_text().count("<tr>") == 3 and cannot["why"] in page.read_text()
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| method | data | edits | cases | Rel | Port | Holdout |")
    assert len(rows) == 2 and all(row.count(" | ") == head.count(" | ") for row in [line, *rows])
    assert "(1)" in rows[0] and cannot["why"] in rows[1]  # Port stands on one case, the row on three


def test_what_is_stopped_or_breaks_is_kept_apart_and_tried_again(table, tmp_path, monkeypatch, capsys):
    tried, outcomes = [], [{"figures": {}, "why": ""}, KeyboardInterrupt]

    def run(spec, place, minutes):
        tried.append(spec["method"])
        found = outcomes[len(tried) - 1]
        if found is KeyboardInterrupt:
            raise found
        return found

    monkeypatch.setattr(methods, "run", run)
    with pytest.raises(KeyboardInterrupt):
        table()
    assert len(json.loads((tmp_path / "out.json").read_text())["cells"]) == 1
    outcomes += [{"why": "exit code 1: boom", "failed": True}]
    table()
    outcomes += [{"figures": {}, "why": ""}]
    assert all(one["why"] == "" for one in table().values())
    assert tried == ["ft-llm", "ft-vis", "ft-vis", "ft-vis"]
    assert "exit code 1: boom" in capsys.readouterr().out


def test_a_process_that_breaks_says_its_last_words(data, tmp_path):
    found = methods.run({}, tmp_path / "cell")
    assert found["failed"] and found["why"].startswith("exit code 1: KeyError")
    found = methods.run({}, tmp_path / "cell", minutes=1e-4)
    assert found["failed"] and "0.0001 minutes" in found["why"]


def test_many_edits_at_once_of_which_some_are_scored_and_a_stop_goes_on(data, tmp_path, monkeypatch):
    spec = {"method": "ft-llm", "data": str(data), "edits": 2, "limit": 1, "seed": 0, "images": None}
    spec |= {"model": str(folder("llama"))}
    plain = cell.evaluate

    def stopped(*args, **kwargs):
        plain(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(cell, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        cell.measured(spec, tmp_path)
    monkeypatch.setattr(cell, "evaluate", None)  # what is there is not asked again
    found = cell.measured(spec, tmp_path)
    assert found["stage"] == "sequential 2" and found["fitted"] == 2
    assert found["figures"]["rel"]["said"]["cases"] == 1
    monkeypatch.setattr(cell, "evaluate", plain)
    (tmp_path / "many").mkdir()
    with pytest.raises(cell.OkeditError, match="there are 3 cases"):
        cell.measured(spec | {"edits": 4}, tmp_path / "many")


def test_costs_are_medians_and_what_is_kept_out_is_told():
    rows = [
        {"facts": 1, "kept": kept, "seconds": seconds, "bytes": size, "first_s": 9.0, "why": why}
        for kept, seconds, size, why in ((1, 1.0, 10, ""), (0, 5.0, 99, "no picture"), (1, 2.0, 30, ""))
    ]
    found = cell.costs(rows)
    assert (found["seconds_an_edit"], found["bytes_an_edit"], found["first_s"]) == (2.0, 20, 9.0)
    note = methods.note_of({"why": "", **found})
    assert note == "1 of 3 edits kept out: no picture"
    assert methods.note_of({"why": ""}) == ""


def test_the_bare_model_is_a_row_too(data, tmp_path):
    load("llama")
    spec = {"method": "none", "data": str(data), "edits": 1, "limit": 1, "seed": 0, "images": None}
    found = cell.measured(spec | {"model": str(folder("llama"))}, tmp_path)
    assert found["figures"]["rel"]["said"]["value"] == 0 and "seconds_an_edit" not in found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "magic"], "there is no method 'magic'"),
        (["--edits", "0"], "expected whole numbers from 1"),
        (["--limit", "0"], "expected a whole number from 1"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(table, words, told, capsys):
    with pytest.raises(SystemExit):
        table(*words)
    assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        methods.main(["nowhere.json"])
    assert "nowhere.json is not there" in capsys.readouterr().err


def test_a_file_of_something_else_stays(table, tmp_path):
    (tmp_path / "out.json").write_text("{}")
    with pytest.raises(SystemExit, match="no table of methods"):
        table()
    assert (tmp_path / "out.json").read_text() == "{}"
