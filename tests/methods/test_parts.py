"""Parts of the method left out, one at a time: what an ablation measures."""

import pytest
from fitted import facts_for, load, world

import okedit_cli
from okedit_cli.errors import UsageError
from okedit_cli.methods.base import PARTS
from okedit_cli.methods.values import RANK


@pytest.fixture(scope="module")
def loaded():
    return load("idefics3")


@pytest.fixture(scope="module")
def fit(loaded):
    def fit(*without):
        with world():
            options = {"force": True, "checked": False, "without": without}
            return okedit_cli.fit(loaded, facts_for(loaded), **options).bundle

    return fit


@pytest.fixture(scope="module")
def whole(fit):
    return fit()


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out_and_the_bundle_says_so(fit, whole, part, tmp_path):
    bundle = fit(part)
    assert bundle.manifest.settings["without"] == [part] and "without" not in whole.manifest.settings
    bundle.save(tmp_path / "b.safetensors")
    assert len(okedit_cli.Bundle.load(tmp_path / "b.safetensors", verify=True)) == len(bundle) == 2


def test_a_value_of_one_rank(fit, whole):
    assert whole.codebook.value_down.shape[1] == RANK > fit("rank").codebook.value_down.shape[1]


def test_a_part_that_is_none(fit):
    with pytest.raises(UsageError, match="no part 'colour'"):
        fit("colour")
