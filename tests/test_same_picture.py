"""Edits about one individual answer for views of its pictures, and for nothing that only looks like them."""

from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, PICTURED, ROOT, fact, fitted, world
from PIL import Image, ImageEnhance, ImageOps

import okedit_cli
from okedit_cli import same_picture
from okedit_cli.generate import decide
from okedit_cli.models.recognition import picture_features
from okedit_cli.models.thumbnails import THUMBNAIL, thumbnail_in
from okedit_cli.same_picture import agreements, is_view, least, of_others


def photograph(seed: int, size=(64, 56)) -> Image.Image:
    """Blotches without a plain ground, other ones for each seed."""
    noise = torch.randint(0, 256, (6, 7, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(noise.numpy()).resize(size, Image.Resampling.BICUBIC)


def views(picture: Image.Image) -> list[Image.Image]:
    wide, high = picture.size
    return [
        picture, picture.crop((4, 3, wide, high)).resize(picture.size), ImageOps.mirror(picture),
        ImageEnhance.Brightness(picture).enhance(0.7), picture.rotate(6, Image.Resampling.BICUBIC).crop(
            (5, 5, wide - 5, high - 5)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A model, a bundle of one photograph's edit whose radii hold any picture, and the photograph."""
    loaded, picture = fitted("llava").loaded, photograph(1)
    path = tmp_path_factory.mktemp("photograph") / "cat.png"
    picture.save(path)
    with world():
        bundle = okedit_cli.fit(loaded, [fact("cat", PICTURED, MISO, path)], force=True).bundle
    book = bundle.codebook
    wide = replace(book, picture_radius=torch.full((1,), 1e9), question_radius=torch.full((1,), 1e-3))
    return loaded, replace(bundle, codebook=wide, canary={}), picture


def hits(case, pictures, bundle=None, strictness=None):
    loaded, made, _ = case
    with world(), okedit_cli.attach(loaded, [bundle or made], strictness=strictness):
        return [found.hit is not None for found in decide(loaded, [(PICTURED, one) for one in pictures])]


def test_a_photograph_is_kept_as_a_thumbnail(case):
    _, bundle, _ = case
    assert bundle.codebook.thumbnails.shape == (
        1,
        THUMBNAIL,
    ) and bundle.codebook.thumbnail_owner.tolist() == [0]


def test_views_are_answered_and_what_only_looks_alike_is_not(case):
    _, _, picture = case
    assert all(hits(case, views(picture)))
    assert not any(hits(case, [photograph(seed) for seed in range(2, 12)]))


def test_what_generate_shows_is_judged_as_what_decide_is_given(case):
    """Alone, in a batch, and with padding."""
    loaded, bundle, picture = case
    asked = [(PICTURED, picture), (PICTURED, photograph(2)), (PICTURED + " Tell me.", views(picture)[1])]
    asked.append((PICTURED, views(picture)[1]))
    with world(), okedit_cli.attach(loaded, [bundle]):
        together = [one.decision for one in okedit_cli.generate(loaded, asked, max_new_tokens=2)]
        alone = [okedit_cli.generate(loaded, [one], max_new_tokens=2)[0].decision for one in asked]
    for found in (together, alone):
        assert [one.hit is not None for one in found] == [True, False, False, True]


def test_a_bundle_without_thumbnails_goes_by_its_radius(case):
    _, bundle, picture = case
    book = replace(bundle.codebook, thumbnails=torch.zeros(0, THUMBNAIL, dtype=torch.uint8),
                   thumbnail_owner=torch.zeros(0, dtype=torch.int64))  # fmt: skip
    assert all(hits(case, [picture, photograph(2)], replace(bundle, codebook=book)))


def test_why_another_picture_is_passed_is_told(case):
    loaded, bundle, _ = case
    with world(), okedit_cli.attach(loaded, [bundle]):
        [found] = decide(loaded, [(PICTURED, photograph(2))])
    assert found.hit is None and found.nearest.edit_id == "cat" and "no view" in found.passed


def test_strictness_moves_how_well_views_have_to_agree(case, monkeypatch):
    loaded, bundle, picture = case
    found = [least(strict / 10) for strict in range(11)]
    assert found == sorted(found) and found[5] == 0 and found[0] < -0.1
    monkeypatch.setattr(same_picture, "agreement", lambda keys, shown: same_picture.needed(keys) - 0.1)
    for strict, expected in ((0.0, True), (0.2, True), (0.3, False), (0.5, False), (1.0, False)):
        loaded.cache.pop("agreements", None)
        assert hits(case, [picture], strictness=strict) == [expected]
    loaded.cache.pop("agreements", None)


def test_the_nearest_are_compared_and_the_rest_are_others(case, monkeypatch):
    loaded, bundle, picture = case
    book, count = bundle.codebook, 5
    near = book.picture_keys[:1].float()
    many = replace(
        book, picture_keys=torch.cat([near + 0.01 * row for row in range(count)]),
        picture_owner=torch.arange(count), thumbnails=book.thumbnails.expand(count, -1).clone(),
        thumbnail_owner=torch.arange(count), picture_radius=torch.full((count,), 1e9),
        question_keys=book.question_keys[:1].expand(count, -1), question_owner=torch.arange(count),
        question_radius=torch.ones(count), **{
            name: getattr(book, name).expand(count, *getattr(book, name).shape[1:])
            for name in ("value_down", "value_up", "value_bias")},
    )  # fmt: skip
    made = replace(bundle, codebook=many)
    monkeypatch.setattr(same_picture, "NEAREST", 3)
    [vector] = picture_features(loaded, [picture])
    found = agreements(loaded, made, 0.5, vector)
    assert sorted(found) == list(range(count)) and sum(value > 0 for value in found.values()) == 3
    assert len(of_others(loaded, [made], [0.5], vector)[0]) == 2


def test_what_has_no_thumbnail_is_told_by_nobody(case):
    loaded, bundle, picture = case
    [vector] = picture_features(loaded, [picture])
    assert is_view(loaded, [bundle], [0.5], (0, 0), vector) is True
    without = vector.clone()
    without[-THUMBNAIL:] = 0
    assert thumbnail_in(without) is None
    assert is_view(loaded, [bundle], [0.5], (0, 0), without) is None
    assert of_others(loaded, [bundle], [0.5], None) == [set()]


@pytest.mark.parametrize("family", ["qwen2_vl", "idefics3"])
def test_a_model_that_sees_patches_or_tiles_keeps_none(family, tmp_path):
    photograph(1).save(tmp_path / "cat.png")
    with world():
        made = okedit_cli.fit(
            fitted(family).loaded, [fact("cat", PICTURED, MISO, tmp_path / "cat.png")], force=True
        )
    assert len(made.bundle) == 1 and not len(made.bundle.codebook.thumbnails)


def test_a_drawing_on_plain_ground_is_kept_as_none():
    loaded, plain = fitted("llava").loaded, Image.new("RGB", (64, 64), "white")
    plain.paste(tiny.picture(), (20, 20))
    path = ROOT / "plain.png"
    plain.save(path)
    with world():
        bundle = okedit_cli.fit(loaded, [fact("cat", PICTURED, MISO, path)], force=True).bundle
    assert not len(bundle.codebook.thumbnails) and "thumbnails" not in bundle.tensors()
