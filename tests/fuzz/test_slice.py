"""A slice of tools/fuzz: what is broken gives a result or one clear error, within the limits."""

from __future__ import annotations

import pytest

from okedit_cli.bundle import bundle
from tools.fuzz import bundles, facts, pictures
from tools.fuzz.runner import run


@pytest.mark.parametrize(("kind", "count"), [(bundles, 250), (facts, 300), (pictures, 250)])
def test_a_slice(kind, count):
    outcome = run(kind.Cases, seed=1, count=count)
    assert outcome.findings == [] and outcome.refused > count / 4, outcome
    assert outcome.good > 0


def test_bundles_are_large_from_where_they_were_before():
    limit = bundle.MOST
    run(bundles.Cases, seed=1, count=3)
    assert limit == bundle.MOST


def test_a_case_is_the_same_for_the_same_seed(tmp_path):
    import random

    for kind in (bundles, facts, pictures):
        seen = []
        for name in ("a", "b"):
            (tmp_path / f"{kind.__name__}{name}").mkdir()
            cases = kind.Cases(tmp_path / f"{kind.__name__}{name}")
            made = []
            for number in range(20):
                cases.case(random.Random(f"5:{number}"))
                made.append(cases.path.read_bytes())
            seen.append(made)
        assert seen[0] == seen[1]


def test_what_should_not_happen_is_found():
    class Bad:
        def __init__(self, folder):
            self.number = 0

        def case(self, chance):
            self.number += 1
            return f"case {self.number}"

        def check(self):
            if self.number == 2:
                raise KeyError("oops")

    outcome = run(Bad, seed=0, count=3)
    assert outcome.good == 2 and len(outcome.findings) == 1 and "KeyError" in outcome.findings[0]
