"""The grid of near negatives, and the order that a seed gives to cases."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.grid import in_order, with_grid


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
