"""What another strictness would let in, told from the distances of a run."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeBench, cases

from okedit_cli.evaluate import evaluate_on
from okedit_cli.evaluate.case import DataSet
from okedit_cli.evaluate.plan import Plan
from okedit_cli.evaluate.records import Decision
from okedit_cli.evaluate.report.html import report
from okedit_cli.evaluate.report.plot import strictness_curve
from okedit_cli.evaluate.strictness import AS_FITTED, STEPS, curve, reach_of

STAGE = "sequential 5"


def done():
    data = DataSet(Path("set.json"), "okedit", tuple(cases(5)), "0" * 64)
    return evaluate_on(FakeBench(), data, plan=Plan("sequential"))


def run(**settings):
    """Positives at 0.8 and 1.2 of the radius in turn, negatives at 1.1."""
    result = done()
    records, count = [], 0
    for record in result.records:
        if record.metric in ("rel", "t_gen", "i_gen"):
            count += 1
            away = 0.8 if count % 2 else 1.2
            near = Decision(record.case if away < 1 else "", record.case, away, 1.0, 0.1, 0.5)
        else:
            near = Decision("", record.case, 0.1, 1.0, 0.55, 0.5)
        records.append(replace(record, decision=near))
    return replace(result, records=records, about={**result.about, "settings": settings})


def test_radii_grow_and_shrink_with_strictness():
    points = {point.strictness: point for point in curve(run(), STAGE)}
    assert list(points) == list(STEPS)
    assert points[0.5].reached == pytest.approx(0.5, abs=0.1) and points[0.5].left_alone == 1
    assert points[0.25].reached == 1 and points[0.25].left_alone == 0  # 1.25 times the radius
    assert points[0.75].reached == 0 and points[0.75].left_alone == 1
    lower = list(points.values())
    for one, other in zip(lower, lower[1:], strict=False):
        assert one.reached >= other.reached and one.left_alone <= other.left_alone


def test_the_strictness_of_the_run_is_where_its_distances_stand():
    """At strictness 0 the run's radii were half as large again, so that 0.8 of them is 1.2 as fitted."""
    points = {point.strictness: point for point in curve(run(strictness=0.0), STAGE)}
    assert points[AS_FITTED].reached == 0 and points[0.25].reached == pytest.approx(0.5, abs=0.1)


def test_another_edit_near_is_no_reach_and_nothing_near_is_no_point():
    [record] = [r for r in run().records if r.metric == "rel"][:1]
    assert reach_of(record) == pytest.approx(0.8)
    assert reach_of(replace(record, decision=replace(record.decision, nearest="other"))) == float("inf")
    assert reach_of(replace(record, decision=None)) is None
    assert reach_of(replace(record, decision=replace(record.decision, picture_radius=None))) == 0.2
    rejected = replace(record, decision=replace(record.decision, fired=""))
    assert reach_of(rejected) == float("inf")
    silent = done()
    bare = replace(silent, records=[replace(record, decision=None) for record in silent.records])
    assert curve(bare, STAGE) == [] and strictness_curve([]) == ""


def test_it_stands_in_the_report():
    page = report([run()])
    assert "<summary>Strictness</summary>" in page and "strictness 0.50, in scope" in page
