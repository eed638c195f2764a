"""Parts of the method left out, one at a time: what an ablation measures."""

import pytest
import torch
from fitted import facts_for, load, world

import okedit_cli
from okedit_cli.errors import UsageError
from okedit_cli.methods.base import PARTS, Options
from okedit_cli.methods.spaces import spaces_of
from okedit_cli.methods.values import RANK


@pytest.fixture(scope="module")
def loaded():
    return load("idefics3")  # questions go to an encoder in it, whoever came before


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


def keys_of(bundle, channel, edit=0):
    return int((getattr(bundle.codebook, f"{channel}_owner") == edit).sum())


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out_and_the_bundle_says_so(fit, whole, part, tmp_path):
    bundle = fit(part)
    assert bundle.manifest.settings["without"] == [part] and "without" not in whole.manifest.settings
    bundle.save(tmp_path / "b.safetensors")
    assert len(okedit_cli.Bundle.load(tmp_path / "b.safetensors", verify=True)) == len(bundle) == 2


def test_keys_views_and_rank(fit, whole):
    assert keys_of(whole, "picture") > 1 and keys_of(whole, "question") > 1
    assert whole.codebook.value_down.shape[1] == RANK > 1
    assert keys_of(fit("views"), "picture") == 1 and keys_of(fit("views"), "question") > 1
    assert keys_of(fit("keys"), "picture") == keys_of(fit("keys"), "question") == 1
    assert fit("rank").codebook.value_down.shape[1] == 1


def test_spaces_without_a_part_are_others_and_kept_apart(loaded, fit, whole):
    with world():
        plain = spaces_of(loaded, Options())
        raw = spaces_of(loaded, Options(without=frozenset(["whitening"])))
        again = spaces_of(loaded, Options(without=frozenset(["rank", "views"])))
    assert torch.equal(raw.picture.projection[:4, :4], torch.eye(4)) and again is plain
    assert not torch.equal(plain.picture.projection, raw.picture.projection)
    encoder = fit("question-encoder")
    assert encoder.manifest.site["question_point"] == "sentence encoder"
    assert whole.manifest.site["question_point"] == "question encoder"


def test_without_names_looks_alone_decide(loaded):
    with world():
        spaces = spaces_of(loaded, Options(without=frozenset(["names"])))
    assert spaces.reaches.name == 0 and spaces.named_radius == spaces.own_radius


def test_a_part_that_is_none(fit):
    with pytest.raises(UsageError, match="no part 'colour'"):
        fit("colour")
