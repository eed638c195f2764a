"""Runs over a bench without a model: who is asked what, when; stopping and going on; laws of methods."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from fake_bench import FakeBench, cases
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.errors import OkeditError, UsageError
from okedit_cli.evaluate.bench import Forced, Plain
from okedit_cli.evaluate.case import METRICS, Probe
from okedit_cli.evaluate.grid import with_grid
from okedit_cli.evaluate.journal import Journal
from okedit_cli.evaluate.plan import Plan, stages
from okedit_cli.evaluate.run import run
from okedit_cli.evaluate.scoring import aggregate


def figures(records):
    return {(f.stage, f.metric, f.measure): f.value for f in aggregate(records) if not f.cell and not f.kind}


def ran(bench, found, plan=None, path=None):
    with Journal(path, {}) as journal:
        return run(bench, found, plan or Plan(), journal)


def test_single_edits_are_alone_in_the_model():
    bench = FakeBench()
    records = ran(bench, cases(4))
    assert sorted(bench.fits) == [[f"case-{n}"] for n in range(4)]
    found = figures(records)
    assert found["single", "rel", "exact"] == found["single", "t_gen", "exact"] == 1
    assert found["single", "i_gen", "exact"] == found["single", "port", "exact"] == 0
    assert found["single", "i_loc", "same"] == found["single", "specificity", "same"] == 1
    assert found["single", "rel", "forced"] == 1 and found["single", "rel", "pre_exact"] == 0


def test_a_method_that_does_nothing_keeps_everything():
    found = figures(ran(Plain(FakeBench()), with_grid(cases(5))))
    for (_, metric, measure), value in found.items():
        if metric in METRICS and not METRICS[metric].positive:
            assert value == 1
        elif metric in METRICS and measure in ("exact", "contains", "forced"):
            assert value == found["single", metric, f"pre_{measure}"]


def test_a_value_that_is_always_on_keeps_nothing():
    found = figures(ran(FakeBench("always"), with_grid(cases(5))))
    assert found["single", "rel", "exact"] == found["single", "i_gen", "exact"] == 1
    assert found["single", "near", "same"] == found["single", "t_loc", "same"] == 0


def test_what_pictures_show_is_told_where_it_is_judged():
    found = [dataclasses.replace(case, truth=("an owl", "owl")) for case in cases(2)]
    records = ran(FakeBench(), found)
    assert {r.metric for r in records if r.truth} == {"rel", "i_gen"}
    assert {r.truth for r in records if r.metric in ("rel", "i_gen")} == {("an owl", "owl")}


def test_the_unedited_model_is_asked_each_question_once():
    bench = FakeBench()
    ran(bench, cases(4), Plan("sequential", edits=(2, 4)))
    plain = Counter(question for edits, question in bench.asked if not edits)
    assert set(plain.values()) == {1}


def test_what_nothing_fires_on_is_asked_as_a_sample_alone():
    """And teacher forcing of what was generated already tells nothing new; the records are the same."""
    asking, telling = FakeBench(), FakeBench(telling="truth")
    plan, found = Plan("sequential"), cases(40)
    whole, short = ran(asking, found, plan), ran(telling, found, plan)
    reused = [record for record in short if record.reused]
    assert reused and all(r.before == r.after and not r.decision.fired for r in reused)
    assert [dataclasses.replace(record, reused=False) for record in short] == whole
    fired = {(r.prompt, r.picture) for r in short if r.decision.fired}
    edited = [(q.prompt, str(q.picture)) for edits, q in telling.asked if edits]
    sampled = set(edited) - fired
    assert 0 < len(sampled) < len(reused) / 4
    assert telling.forcings < asking.forcings / 2


def test_where_the_sample_is_answered_otherwise_all_are_asked():
    plan, found = Plan("sequential"), cases(40)
    records = ran(FakeBench("always", telling="lying"), found, plan)
    assert records == ran(FakeBench("always"), found, plan)


def test_sequential_scores_all_edits_again_at_each_number():
    bench = FakeBench("always")
    records = ran(bench, cases(6), Plan("sequential", edits=(1, 6, 3)))
    assert [len(fit) for fit in bench.fits] == [1, 3, 6]
    found = figures(records)
    assert found["sequential 1", "rel", "exact"] == 1
    assert found["sequential 6", "rel", "exact"] == pytest.approx(1 / 6)


def test_gaps_score_case_i_after_i_plus_gap_edits():
    plan = Plan("sequential", gaps=(2,))
    found = [stage for stage in stages(cases(5), plan) if stage.label == "gap 2 of 5"]
    assert [len(stage.edits) for stage in found] == [3, 4, 5]
    for place, stage in enumerate(found):
        assert stage.scored == (stage.within[place],) and len(stage.within) == 5
    assert figures(ran(FakeBench(), cases(5), plan))["gap 2 of 5", "rel", "exact"] == 1


def test_a_sample_scores_so_many_with_all_edits_there():
    plan = Plan("sequential", edits=(3, 6), sample=2)
    for some in (cases(6), cases(6)[::-1]):
        found = stages(some, plan)
        assert [(len(stage.edits), len(stage.scored)) for stage in found] == [(3, 2), (6, 2)]
        assert all(stage.scored == stage.edits[:2] for stage in found)
    assert {case.id for case in found[0].scored} == {case.id for case in stages(cases(6), plan)[0].scored}
    bench = FakeBench()
    records = ran(bench, cases(6), plan)
    assert [len(fit) for fit in bench.fits] == [3, 6] and len({record.case for record in records}) == 2
    assert "sample" not in Plan("sequential").to_json() and plan.to_json()["sample"] == 2


@pytest.mark.parametrize(
    "plan",
    [Plan("sequential", edits=(7,)), Plan("sequential", edits=(0,)), Plan("sequential", gaps=(6,))],
)
def test_more_than_there_is_makes_no_sense(plan):
    with pytest.raises(UsageError):
        stages(cases(6), plan)


def test_a_bundle_is_scored_on_all_cases_at_once():
    bench = FakeBench()
    records = ran(bench, cases(3), Plan("bundle"))
    assert len(bench.fits) == 1 and {record.stage for record in records} == {"bundle"}


def test_a_negative_that_another_edit_is_about_is_contested():
    one, two = cases(2)
    one = dataclasses.replace(one, near=(Probe("what is thing 1", two.picture, (), "other/edit"),))
    near = {
        plan.mode: [r for r in ran(FakeBench(), [one, two], plan) if r.metric == "near"]
        for plan in (Plan(), Plan("sequential"))
    }
    assert [record.contested for record in near["single"]] == [False]
    assert [record.contested for record in near["sequential"]] == [True]


@settings(max_examples=25)
@given(st.permutations(range(6)), st.sampled_from(["single", "sequential"]), st.integers(0, 2))
def test_the_order_of_cases_does_not_matter(order, mode, seed):
    plan, found = Plan(mode, seed=seed), with_grid(cases(6, ("a", "b")), seed)
    mixed = with_grid([cases(6, ("a", "b"))[n] for n in order], seed)
    assert ran(FakeBench(), mixed, plan) == ran(FakeBench(), found, plan)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 120), max_size=4),
    st.sampled_from(["single", "sequential"]),
    st.sampled_from(["", "truth"]),
)
def test_stopped_and_resumed_equals_uninterrupted(tmp_path_factory, stops, mode, telling):
    path: Path = tmp_path_factory.mktemp("run") / "out.jsonl"
    plan = Plan(mode, gaps=(1,) if mode == "sequential" else ())
    whole = ran(FakeBench(telling=telling), cases(), plan)
    for stop in stops:
        try:
            assert ran(FakeBench(stop_after=stop, telling=telling), cases(), plan, path) == whole
        except KeyboardInterrupt:
            with path.open("ab") as file:  # a kill in the middle of a write
                file.write(b'["torn", {"te')
    assert ran(FakeBench(telling=telling), cases(), plan, path) == whole
    last = FakeBench(telling=telling)
    assert ran(last, cases(), plan, path) == whole and not last.asked and not last.fits


def test_what_was_done_is_not_asked_again(tmp_path):
    first, second = FakeBench(stop_after=70), FakeBench()
    path = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        ran(first, cases(), path=path)
    ran(second, cases(), path=path)
    everything = FakeBench()
    ran(everything, cases())
    assert len(second.asked) < len(everything.asked)


def test_the_journal_of_another_run_is_refused_and_removed_at_the_end(tmp_path):
    path = tmp_path / "deep" / "run.jsonl"
    with Journal(path, {"seed": 0}) as journal:
        journal.put([("a", 1)])
    with pytest.raises(UsageError, match="another run"):
        Journal(path, {"seed": 1})
    again = Journal(path, {"seed": 0})
    assert again["a"] == 1 and again.resumed == 1 and "b" not in again
    again.remove()
    assert not path.exists()


def test_a_journal_is_one_process_at_a_time(tmp_path):
    path = tmp_path / "run.jsonl"
    with Journal(path, {"seed": 0}):
        with pytest.raises(OkeditError, match="at work on this very evaluation"):
            Journal(path, {"seed": 0})
    Journal(path, {"seed": 0}).close()


@pytest.mark.parametrize("content", ["mine", "\nmine\n", "{}\n", "[1]\n[2]\n"])
def test_a_file_that_is_no_journal_stays(tmp_path, content):
    path = tmp_path / "run.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError):
        Journal(path, {"seed": 0})
    assert path.read_text() == content


def test_a_journal_torn_in_its_first_line_begins_afresh(tmp_path):
    path = tmp_path / "run.jsonl"
    Journal(path, {"seed": 0}).close()
    whole = path.read_text()
    path.write_text(whole[:9])
    Journal(path, {"seed": 0}).close()
    assert path.read_text() == whole


def test_without_teacher_forcing_nothing_is_forced():
    bench = FakeBench()
    bench.forced = None
    records = ran(bench, cases(2), Plan(forced=False))
    assert all(record.forced_after is None for record in records)


def test_forced_accuracy_and_agreement():
    one, two = Forced((1, 2, 3), (1, 2, 9)), Forced((1, 2, 3), (1, 5, 9))
    assert one.accuracy == pytest.approx(2 / 3) and one.agreement(two) == pytest.approx(2 / 3)
    assert Forced((), ()).accuracy == 1


def test_progress_counts_to_its_total():
    told = []
    with Journal(None, {}) as journal:
        run(FakeBench(), cases(3), Plan(), journal, lambda *words: told.append(words))
    last = {stage: (done, total) for stage, done, total in told}
    assert last and all(done == total for done, total in last.values()) and last["single"] == (3, 3)
