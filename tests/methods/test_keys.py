"""Keys and radii of facts: the owner's wordings and pictures are keys, and no radius passes what is to
stay.
"""

from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, PARIS, PICTURED, WORDS, fact, fit, fitted, load

from okedit_cli.facts import Question
from okedit_cli.methods.base import Options
from okedit_cli.methods.keys import mean_key, picture_reach, question_reach
from okedit_cli.methods.spaces import spaces_of
from okedit_cli.samples.sampler import build_samples

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture
def pictured(tmp_path):
    """A fact with a picture, and a folder with others."""
    tiny.pictures(tmp_path)
    return fact("thing", "What is this?", "purse", tmp_path / "red.png")


def reach(fact, kind=True):
    loaded = fitted("llava").loaded
    spaces = spaces_of(loaded, Options())
    return picture_reach(loaded, spaces, kind, build_samples([fact])[fact.id]), spaces


def test_each_wording_of_the_owner_is_a_key():
    one = question_reach(fact("capital", WORDS, PARIS))
    more = question_reach(fact("capital", WORDS, PARIS, rephrases=("Which city governs France?", WORDS)))
    assert len(one.keys) == 1 and len(more.keys) == 2 and one.radius == more.radius
    assert torch.equal(one.keys[0], more.keys[0])


def test_each_picture_is_a_key_and_so_is_the_mean_of_those_of_a_kind(pictured):
    more = replace(pictured, images=(pictured.image.with_name("green.png"),))
    one, spaces = reach(pictured)
    assert len(one.keys) == 1 and one.radius == spaces.radius(one.keys)
    assert len(reach(more)[0].keys) == 3 and len(reach(more, kind=False)[0].keys) == 2
    assert 0 < reach(pictured, kind=False)[0].radius < one.radius <= spaces.kind


def test_the_mean_of_keys_is_as_long_as_they_are():
    keys = torch.nn.functional.normalize(torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), dim=1)
    found = mean_key(keys)
    assert found.shape == (1, 7) and float(found.norm()) == pytest.approx(1.0)
    assert torch.cdist(found, keys).max() <= torch.cdist(keys, keys).max()


def test_a_radius_never_passes_a_picture_that_is_kept(pictured):
    blue = pictured.image.with_name("blue.png")
    kept = replace(pictured, keep=(Question(pictured.prompt, blue, None),))
    found, spaces = reach(kept)
    loaded = fitted("llava").loaded
    [image] = [
        s.picture for s in build_samples([kept])[kept.id] if s.role == "negative" and s.origin == "user"
    ]
    away = float(torch.cdist(spaces.keys(loaded, [image]), found.keys).min())
    assert found.d_neg == pytest.approx(away, rel=1e-4) and found.radius < away
    assert found.radius <= reach(pictured)[0].radius


def test_what_is_kept_and_shown_alike_leaves_no_radius(pictured):
    twin = pictured.image.with_name("twin.png")
    twin.write_bytes(pictured.image.read_bytes())
    found, _ = reach(replace(pictured, keep=(Question(pictured.prompt, twin, None),)))
    assert found.d_neg == pytest.approx(0, abs=1e-3) and not found.exists


def test_spaces_are_measured_once_and_the_same_from_the_disk():
    loaded, again = load("llava"), load("llava")
    first = spaces_of(loaded, Options())
    assert spaces_of(loaded, Options()) is first
    second = spaces_of(again, Options())
    assert torch.equal(first.bank_pictures, second.bank_pictures) and first.kind == second.kind
    assert spaces_of(load("gpt2"), Options()).picture is None


def test_a_bundle_says_what_each_fact_reaches(pictured):
    loaded = fitted("llava").loaded
    own = fact("cat", PICTURED, MISO, pictured.image.with_name("green.png"))
    told = replace(own, id="told", image=pictured.image.with_name("blue.png"), reach="kind")
    bundle = fit(loaded, [pictured, own, told, fact("capital", WORDS, PARIS)], checked=False).bundle
    assert [row.get("reach") for row in bundle.manifest.facts] == ["kind", "picture", "kind", None]
    assert torch.isinf(bundle.codebook.picture_radius).tolist() == [False, False, False, True]
    assert bundle.codebook.thumbnail_owner.tolist() == [0, 1, 2]
