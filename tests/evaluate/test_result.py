"""Results on disk and what people read of them: JSON, tables, one HTML file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fake_bench import FakeBench, cases
from PIL import Image

from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate import evaluate_on
from okedit_cli.evaluate.bench import Plain
from okedit_cli.evaluate.case import DataSet
from okedit_cli.evaluate.plan import Plan
from okedit_cli.evaluate.records import Decision
from okedit_cli.evaluate.report.html import report, scope_words
from okedit_cli.evaluate.report.plot import trade_off
from okedit_cli.evaluate.report.table import COLUMNS, kind_rows, stage_rows
from okedit_cli.evaluate.result import Result, below


def data(count=5, kinds=("",)):
    return DataSet(Path("set.json"), "okedit", tuple(cases(count, kinds)), "0" * 64, ((9, "alt is empty"),))


def done(bench=None, plan=None, out=None, limit=None, **options):
    return evaluate_on(bench or FakeBench(), data(**options), plan=plan or Plan(), out=out, limit=limit)


def test_a_result_is_written_read_and_scored_again_without_a_model(tmp_path):
    out = tmp_path / "deep" / "result.json"
    result = done(out=out)
    again = Result.load(out)
    assert again.figures == result.figures and again.records == result.records
    assert again.to_json() == result.to_json()
    assert [path.name for path in out.parent.iterdir()] == ["result.json"]
    content = json.loads(out.read_text())
    assert content["protocol"] and content["versions"]["okedit"] and content["data"]["left_out"]
    assert len(content["answers"]) == len(result.records) and content["model"] == {"name": "fake"}


def test_equal_runs_give_equal_bytes_and_a_stopped_one_goes_on(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    done(out=one)
    with pytest.raises(KeyboardInterrupt):
        done(FakeBench(stop_after=60), out=two)
    assert not two.exists() and (tmp_path / "two.json.journal").exists()
    bench = FakeBench()
    done(bench, out=two)
    assert one.read_bytes() == two.read_bytes() and all(edits for edits, _ in bench.asked)


def test_a_result_gives_way_to_one_of_the_same_evaluation_alone(tmp_path):
    out = tmp_path / "r.json"
    done(out=out)
    before = out.read_bytes()
    done(out=out)
    for other in ({"plan": Plan(seed=1)}, {"limit": 2}, {"bench": FakeBench("always")}, {"count": 4}):
        with pytest.raises(UsageError, match="another evaluation"):
            done(out=out, **other)
        assert out.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["r.json"]
    out.write_text("mine")
    with pytest.raises(UsageError, match="no result"):
        done(out=out)
    assert out.read_text() == "mine"


def test_only_what_an_evaluation_has_stored_is_removed(tmp_path):
    class Storing(FakeBench):
        store = None

        def answer(self, questions):
            self.store.mkdir(exist_ok=True)
            (self.store / f"{'0f' * 8}.safetensors").write_text("fitted")
            return super().answer(questions)

    store = tmp_path / "r.json.fitted"
    store.mkdir()
    (store / "mine.safetensors").write_text("mine")
    done(Storing(), out=tmp_path / "r.json")
    assert [path.name for path in store.iterdir()] == ["mine.safetensors"]


def test_another_plan_does_not_go_on_from_a_journal(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        done(FakeBench(stop_after=60), out=tmp_path / "r.json")
    with pytest.raises(UsageError, match="another run"):
        done(plan=Plan(seed=1), out=tmp_path / "r.json")


def test_a_limit_draws_the_same_cases_from_any_order():
    first = evaluate_on(FakeBench(), data(), plan=Plan(), limit=2)
    turned = DataSet(Path("set.json"), "okedit", data().cases[::-1], "0" * 64)
    assert list(first.cases) == list(evaluate_on(FakeBench(), turned, plan=Plan(), limit=2).cases)
    assert first.about["data"]["cases"] == 2 and first.about["data"]["of"] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not there"), ("{", "is no JSON"), ("[]", "no answers"), ('{"answers": []}', "format None"),
        ('{"format": "okedit-eval/1", "answers": [{"metric": "rel"}]}', "answer 1 is no answer"),
        ('{"format": "okedit-eval/1", "answers": [5]}', "answer 1 is no answer"),
    ],
)  # fmt: skip
def test_files_that_are_no_result(tmp_path, text, message):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidFacts, match=message):
        Result.load(path)


def test_tables_have_counts_and_intervals_and_kinds_apart():
    result = done(kinds=("flag", "photo"))
    rows = {row[0]: row for row in stage_rows(result, "single")}
    assert rows["Rel"][1].startswith("100.0 [") and rows["Rel"][-2:] == ("5", "5")
    assert rows["  other/edit"] and rows["HM"] and rows["scope: under-reaching"]
    assert all(len(row) == len(COLUMNS) for row in rows.values())
    columns, rows = kind_rows(result, "single")
    assert [row[0] for row in rows] == ["flag", "photo"] and len(columns) == len(rows[0])
    assert kind_rows(done(), "single")[1] == []


def test_bars_are_percent_and_judge_every_stage():
    result = done(FakeBench("always"), Plan("sequential", edits=(1, 5)))
    assert below(result, {"rel": 20}) == []
    assert len(below(result, {"rel": 21, "i_loc": 50})) == 3
    with pytest.raises(UsageError, match="--min-holdout: this data has no Holdout"):
        below(result, {"holdout": 1})


def test_the_report_is_one_file_that_asks_for_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (300, 200), "red").save("0.png")
    page = report([done(), done(Plain(FakeBench()))])
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!data:)\w+:""", page) and "<script" not in page
    assert "data:image/jpeg;base64," in page and "not found: 1.png" in page
    svg = ElementTree.fromstring(re.search("<svg.*?</svg>", page)[0])
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 2 and "memo on set.json" in titles[0] and "none on set.json" in titles[1]


def test_what_models_and_files_say_is_shown_not_run():
    result = done()
    bad = "<script>alert(1)</script>\"'"
    words = {"after": bad, "before": bad, "prompt": bad, "answers": (bad,), "cell": bad, "picture": bad}
    records = [type(r)(**{**vars(r), **words}) for r in result.records]
    about = {**result.about, "method": bad, "protocol": {bad: bad}}
    page = report([Result(about, {key: {"row": bad} for key in result.cases}, records)])
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "<script" not in trade_off([Result(about, {}, records)])


def test_scope_in_words():
    assert scope_words(None) == "nothing was attached" and scope_words(Decision()) == "no edit was near"
    near = Decision("", "cat", 0.75, 0.5, 0.1, None)
    assert scope_words(near) == "nearest: cat; picture 0.75 beyond 0.5; any question"
    why = replace(near, rejection="another picture")
    assert scope_words(why) == "nearest: cat; picture 0.75 beyond 0.5; any question; another picture"
    assert scope_words(Decision("cat", "cat", 2e-7, 0.5, 0.0, 0.2)) == (
        "fired: cat; the same picture; the same question"
    )
    told = replace(near, context="dog")
    assert scope_words(told) == "told what dog says; nearest: cat; picture 0.75 beyond 0.5; any question"
    assert told.acts and not near.acts
    assert scope_words(Decision("cat", "cat", None, 0.5, 0.1, 0.2)) == (
        "fired: cat; no picture to compare; question 0.1 within 0.2"
    )
