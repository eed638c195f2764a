"""The ablation counts what fires, for the part that is left out and no other."""

import importlib

import pytest
import tiny
from fitted import load, world

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.models import features, prefixes
from tools.bench.ablation import COLUMNS, DECIDING, SCOPE, held, judged, remembering, undecided


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tiny.pictures(tmp_path_factory.mktemp("pictures"))


def test_it_counts_what_fires_and_where_none_should(pictures):
    red, green, blue = (pictures / f"{colour}.png" for colour in ("red", "green", "blue"))
    cases = [
        Case(
            "a", "What is this?", "a cat", red, rephrasings=("What is this",), pictures=(red,),
            picture_cells=("view",), specificity=(Probe("How many people are there?", red),),
            text_locality=(Probe("Who wrote the play?"),), row=1,
        ),
        Case("b", "Who owns it?", "Ada", green, picture_locality=(Probe("Who owns it?", blue),), row=2),
    ]  # fmt: skip
    with world():
        loaded = load("llava")
        facts = [case.fact() for case in cases]
        bundles = {part: held(loaded, facts, [part] if part else []) for part in (None, "names", "keys")}
        shares = {part: judged(loaded, cases, bundle, {}) for part, bundle in bundles.items()}
    for found in shares.values():
        assert tuple(found) == COLUMNS
        assert found["rel"] == 1 and found["i_gen view"] == 1  # its own picture and words
        assert found["t_loc"] == 1 and found["i_gen artist"] != found["i_gen artist"]  # none of these asked
        assert 0 <= found["specificity"] <= 1 and 0 <= found["i_loc"] <= 1
    assert "rank" not in SCOPE and len(SCOPE) == len(set(SCOPE)) > 5


@pytest.mark.parametrize("part", DECIDING)
def test_parts_of_a_decision_stand_where_they_are_said_to(part):
    place, name = DECIDING[part][0].rsplit(".", 1)
    real = getattr(importlib.import_module(place), name)
    with undecided(part):
        assert getattr(importlib.import_module(place), name)(1, 2) is DECIDING[part][1]
    assert getattr(importlib.import_module(place), name) is real and part not in SCOPE


def test_what_is_known_of_pictures_is_kept_between_rows_and_not_behind_them():
    before = features.LOOKS_BYTES, prefixes.KEPT_BYTES
    with remembering():
        assert features.LOOKS_BYTES == prefixes.KEPT_BYTES > max(before)
    assert (features.LOOKS_BYTES, prefixes.KEPT_BYTES) == before
