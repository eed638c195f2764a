"""The grid of near negatives, and the order that a seed gives to cases."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.evaluate.case import METRICS, Case, Probe
from okedit_cli.evaluate.grid import in_order, with_grid
from okedit_cli.samples.wording import normal


@given(st.permutations(range(8)), st.integers(0, 3))
def test_the_grid_does_not_depend_on_the_order_of_cases(order, seed):
    cases = [Case(f"c{n}", f"How many {n}?", str(n), Path(f"{n}.png")) for n in range(8)]
    mixed = with_grid([cases[n] for n in order], seed)
    assert sorted(mixed, key=lambda case: case.id) == sorted(with_grid(cases, seed), key=lambda case: case.id)
    assert in_order(mixed, seed) == in_order(with_grid(cases, seed), seed)
    for case in mixed:
        cells = {probe.cell: probe for probe in case.near}
        assert cells.keys() == {"none/edit", "other/edit", "edit/other", "other/other"}
        assert cells["other/edit"].picture != case.picture and cells["edit/other"].prompt != case.prompt


def test_text_cases_and_cases_with_cells_stay_as_they_are():
    own = Case("a", "Who?", "Ada", Path("a.png"), near=(Probe("What?"),))
    cases = [own, Case("b", "Who leads?", "Bob")]
    assert with_grid(cases) == cases


def test_a_lone_case_and_cases_of_one_target_have_only_the_cell_without_a_picture():
    cases = [Case(name, "Who?", "Ada", Path(name)) for name in ("a", "b")]
    assert [[probe.cell for probe in case.near] for case in with_grid(cases)] == [["none/edit"]] * 2


def test_a_question_that_means_the_same_is_no_negative():
    first = Case("a", "Who is it?", "Ada", Path("a"), rephrasings=("Name her.",))
    cells = {probe.cell for probe in with_grid([first, Case("b", "name her", "Bob", Path("b"))])[0].near}
    assert cells == {"none/edit", "other/edit", "other/other"}


def test_unedited_pictures_and_other_questions_where_the_data_set_tells_them():
    """Another case's own question may ask the same in other words, and its picture is edited as well."""
    first = Case("a", "Who?", "Ada", Path("a"), specificity=(Probe("How old is she?", Path("a")),))
    other = Case(
        "b", "What is her name?", "Bob", Path("b"),
        picture_locality=(Probe("What is her name?", Path("plain")), Probe("Who?", Path("second"))),
        specificity=(Probe("Where is it?", Path("b")), Probe("What colour?", Path("b"))),
    )  # fmt: skip
    cells = {probe.cell: (probe.prompt, probe.picture) for probe in with_grid([first, other])[0].near}
    assert cells == {
        "none/edit": ("Who?", None),
        "other/edit": ("Who?", Path("plain")),
        "other/other": ("Where is it?", Path("plain")),
        "edit/other": ("Where is it?", Path("a")),
    }


def test_another_question_that_the_edit_asks_too_is_passed_over():
    first = Case("a", "Who?", "Ada", Path("a"), rephrasings=("Name her.",))
    other = Case("b", "Why?", "x", Path("b"), specificity=(Probe("who?"), Probe("name her"), Probe("How?")))
    cells = {probe.cell: probe.prompt for probe in with_grid([first, other])[0].near}
    assert cells["edit/other"] == "How?"


PICTURES = st.sampled_from([Path(name) for name in "abcdef"])
PROMPTS = st.sampled_from(["Who is it?", "Name her.", "What colour?", "How old?"])


@st.composite
def drawn_cases(draw):
    return Case(
        draw(st.uuids()).hex, draw(PROMPTS), draw(st.sampled_from("xyz")), draw(PICTURES),
        rephrasings=tuple(draw(st.lists(PROMPTS, max_size=2))),
        pictures=tuple(draw(st.lists(PICTURES, max_size=2))),
        picture_locality=tuple(Probe("?", p) for p in draw(st.lists(PICTURES, max_size=2))),
        specificity=tuple(Probe(text) for text in draw(st.lists(PROMPTS, max_size=2))),
    )  # fmt: skip


@given(st.lists(drawn_cases(), min_size=1, max_size=5), st.integers(0, 3))
def test_no_near_negative_asks_what_its_edit_changes(cases, seed):
    """A question that is to be answered anew must not stand among those that are to be answered as before."""
    for case in with_grid(cases, seed):
        wanted = {
            (normal(probe.prompt), probe.picture)
            for _, metric, probe in case.probes()
            if METRICS[metric].positive
        }
        assert not wanted & {(normal(probe.prompt), probe.picture) for probe in case.near}
