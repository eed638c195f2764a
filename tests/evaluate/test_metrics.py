"""When answers are right, and laws of the intervals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.evaluate.metrics import (
    bootstrap,
    contains,
    estimate,
    exact,
    harmonic,
    harmonic_estimate,
    normalise,
    same,
    wilson,
)
from okedit_cli.evaluate.records import Decision, Record, from_json, to_json
from okedit_cli.evaluate.scoring import ARTIST, NAMED, aggregate, failures, scope_of

SHARES = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat.", "cat"), ("a  zebra!", "zebra"), ("Driver's licence", "drivers licence"),
        ("1.10", "1.10"), ("1,000 m", "1,000 m"), ("-5 °C", "-5 °c"), ("well-known", "well known"),
        ("C++", "c++"), ("ﬁsh", "fish"), ("The", "the"), ("?!", "?!"), ("", ""), ("12:30.", "12:30"),
        ("Fort_Smith, AR", "fort smith ar"),
    ],
)  # fmt: skip
def test_normalise(text, plain):
    assert normalise(text) == plain


@given(st.text(max_size=40))
def test_a_text_is_right_about_itself(text):
    assert exact(text, [text]) and contains(text, [text]) and same(text, f" {text}\n")
    assert normalise(normalise(text)) == normalise(text)


@given(st.text("abc -.,", min_size=1, max_size=8), st.text("abc ", max_size=12))
def test_exact_implies_contains(answer, text):
    assert not exact(text, [answer]) or contains(text, [answer])


def test_contains_wants_whole_words():
    assert contains("It is a tabby cat.", ["Cat"]) and contains("no or yes", ["maybe", "yes"])
    assert not contains("a category", ["cat"]) and not contains("1.5", ["15"]) and not exact("cats", ["cat"])
    assert not exact("cat", []) and not contains("cat", [])


@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_contains_the_estimate_and_narrows(right, count):
    right = min(right, count)
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1
    wider = wilson(right / count * 10, 10)
    assert count <= 10 or high - low <= wider[1] - wider[0] + 1e-12


def test_wilson_against_the_textbook():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4) and wilson(10, 10)[1] == 1
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@settings(max_examples=30)
@given(st.lists(SHARES, min_size=1, max_size=30), st.integers(0, 3))
def test_bootstrap_contains_the_mean_whatever_the_order(values, seed):
    low, high = bootstrap(values, seed=seed)
    mean = sum(values) / len(values)
    assert -1e-9 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= 1 + 1e-9
    mixed = random.Random(seed).sample(values, len(values))
    assert bootstrap(mixed, seed=seed) == (low, high)


@settings(max_examples=30)
@given(st.lists(st.lists(SHARES, max_size=4), max_size=12))
def test_an_estimate_is_a_mean_over_cases(groups):
    found = estimate(groups)
    means = [sum(group) / len(group) for group in groups if group]
    if not means:
        assert found is None
        return
    assert found.value == pytest.approx(sum(means) / len(means))
    assert found.low <= found.value <= found.high
    assert (found.cases, found.questions) == (len(means), sum(map(len, groups)))
    assert estimate(groups[::-1]) == found


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_harmonic_lies_below_the_mean(values):
    assert min(values) - 1e-9 <= harmonic(values) <= sum(values) / len(values) + 1e-9
    assert harmonic([*values, 0.0]) == 0 and harmonic([]) == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=1, max_size=12))
def test_harmonic_estimate_contains_its_value(rows):
    found = harmonic_estimate(list(zip(*rows, strict=True)))
    assert 0 <= found.low <= found.value <= found.high <= 1 + 1e-9
    assert harmonic_estimate(list(zip(*rows[::-1], strict=True))) == found


def record(case="c", metric="rel", before="cat", after="dog", answers=("dog",), **more):
    return Record("single", case, metric, f"{metric}:0", "What?", before, after, answers=answers, **more)


def figure(records, metric, measure, cell="", kind=""):
    [found] = [
        f for f in aggregate(records)
        if (f.metric, f.measure, f.cell, f.kind) == (metric, measure, cell, kind)
    ]  # fmt: skip
    return found


def test_figures_of_positives_and_negatives():
    records = [
        record("a"), record("b", after="a dog, I think", before="dog"), record("c", after="cat"),
        record("a", "i_loc", after="cat", answers=()), record("b", "i_loc", after="cow", answers=()),
    ]  # fmt: skip
    assert figure(records, "rel", "exact").value == pytest.approx(1 / 3)
    assert figure(records, "rel", "contains").value == pytest.approx(2 / 3)
    assert figure(records, "rel", "pre_exact").value == pytest.approx(1 / 3)
    local = figure(records, "i_loc", "same")
    assert (local.value, local.cases, local.questions) == (0.5, 2, 2)
    assert not [f for f in aggregate(records) if f.measure.endswith("forced")]


def test_cells_kinds_and_teacher_forcing_are_reported_apart():
    records = [
        record("a", "port", cell="1-hop", kind="flag", forced_after=1.0, forced_before=0.5),
        record("b", "port", cell="2-hop", kind="photo", after="x", forced_after=0.5, forced_before=0.0),
    ]
    assert figure(records, "port", "exact", cell="2-hop").value == 0
    assert figure(records, "port", "exact", kind="flag").value == 1
    assert figure(records, "port", "forced").value == 0.75
    assert figure(records, "port", "pre_forced").value == 0.25


def test_other_artists_drawings_that_the_model_names_right_are_reported_apart():
    """Where it names both the edit's picture and the drawing: an edit can reach it by name. No views."""
    right, wrong = (
        {"before": "An eagle.", "truth": ("eagle", "kite")},
        {"before": "hat", "truth": ("eagle",)},
    )
    records = [
        record("both", **right), record("both", "i_gen", cell="artist", **right),
        record("both", "i_gen", cell="artist", after="no", **wrong),
        record("both", "i_gen", cell="view", after="no", **right),
        record("drawing", **wrong), record("drawing", "i_gen", cell="artist", after="no", **right),
        record("edit", **right), record("edit", "i_gen", cell="artist", after="no", **wrong),
        record("late", **right), record("late", "i_gen", cell="artist", after="no", **right),
    ]  # fmt: skip
    named = figure(records, "i_gen", "exact", cell=NAMED)
    assert (named.value, named.cases, named.questions) == (0.5, 2, 2)
    artist = figure(records, "i_gen", "exact", cell=ARTIST)
    assert (artist.value, artist.cases, artist.questions) == (pytest.approx(0.125), 4, 5)
    assert figure(records, "i_gen", "exact", cell="view").value == 0
    assert figure(records, "i_gen", "pre_exact", cell=NAMED).value == 0


def test_without_drawings_that_are_named_right_there_is_no_such_cell():
    untold = [record("a"), record("a", "i_gen", cell="artist")]
    views = [record("a", truth=("cat",)), record("a", "i_gen", cell="view", truth=("cat",))]
    for records in (untold, views):
        assert NAMED not in {found.cell for found in aggregate(records)}


def test_a_negative_that_another_edit_is_about_does_not_count():
    records = [record("a", "near", after="x", answers=(), contested=True), record("b", "near", after="cat")]
    assert figure(records, "near", "same").cases == 1 and failures(records) == []


def test_scope_taxonomy():
    ok_in, bad_in = {"after": "dog"}, {"after": "cat"}
    ok_out, bad_out = {"after": "cat", "answers": ()}, {"after": "dog", "answers": ()}
    records = []
    for case, inside, outside in (
        ("a", ok_in, ok_out), ("b", bad_in, ok_out), ("c", ok_in, bad_out), ("d", bad_in, bad_out),
    ):  # fmt: skip
        records += [record(case, "t_gen", **inside), record(case, "specificity", **outside)]
        records += [record(case, "kept", after="anything", answers=()), record(case, "port", after="no")]
    assert scope_of(records) == {"a": "correct", "b": "under-reaching", "c": "over-reaching", "d": "both"}
    assert figure(records, "scope", "share", cell="both").value == 0.25


def test_harmonic_mean_takes_whole_cases():
    records = []
    for case, said in (("a", "dog"), ("b", "dog"), ("c", "cat"), ("d", "dog")):
        records += [record(case, "t_gen", after=said), record(case, "i_gen")]
        records += [record(case, "i_loc", after="cat", answers=())] if case != "d" else []
    assert figure(records, "hm", "exact").value == pytest.approx(3 / (1.5 + 1 + 1))
    assert figure(records, "hm", "exact").cases == 3


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_figures_do_not_depend_on_the_order_of_records(chance):
    records = [
        record(f"c{n % 7}", metric, after=("dog", "cat", "x")[n % 3], cell=f"{n % 2}", forced_after=n / 40)
        for n, metric in enumerate(["rel", "t_gen", "i_gen", "i_loc", "near", "port"] * 6)
    ]
    mixed = chance.sample(records, len(records))
    assert aggregate(mixed) == aggregate(records)


def test_records_survive_json():
    whole = record(decision=Decision("e", "e", 0.5, None, 0.25, 1.0), forced_after=0.5, cell="x", picture="p")
    assert from_json(to_json(whole), "x") == whole and from_json(to_json(record()), "x") == record()
    assert "forced_after" not in to_json(record())
