"""The ablation counts what fires, with all stages and with one left out."""

import pytest
import tiny
from fitted import load, world

import okedit_cli
from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.generate import decide
from okedit_cli.models import features
from okedit_cli.scope.router import STAGES
from tools.bench.ablation import COLUMNS, held, judged, remembering


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
        bundle = held(loaded, [case.fact() for case in cases])
        shares = {stage: judged(loaded, cases, bundle, {}, [stage]) for stage in STAGES}
        shares["all"] = judged(loaded, cases, bundle, {})
    for found in shares.values():
        assert tuple(found) == COLUMNS
        assert found["rel"] == 1 and found["i_gen view"] == 1  # its own picture and words
        assert found["t_loc"] == 1 and found["i_gen artist"] != found["i_gen artist"]  # none of these asked
        assert 0 <= found["specificity"] <= 1 and 0 <= found["i_loc"] <= 1


def test_what_is_known_of_pictures_is_kept_between_rows_and_not_behind_them(pictures):
    with world():
        loaded = load("llava")
        bundle = held(loaded, [Case("a", "What is this?", "a cat", pictures / "red.png").fact()])
        seen = tiny.picture()
        with remembering(loaded):
            with okedit_cli.attach(loaded, bundle):
                decide(loaded, [("What is this?", seen)])
            kept = features.look_of(loaded, seen)
            with okedit_cli.attach(loaded, bundle):
                decide(loaded, [("What is this?", seen)])
                assert features.look_of(loaded, seen) is kept
        assert features.look_of(loaded, seen) is not kept
