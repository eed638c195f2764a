"""Laying pictures over each other: views agree, whatever turned or lit them, and others do not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from okedit_cli import transforms
from okedit_cli.bank import load_bank
from okedit_cli.edits.alignment import NOT, agreement, needed, same
from okedit_cli.models.thumbnails import SIDE, as_bytes, thumbnails_of

SIZE = 128


def thumbnail(picture: Image.Image) -> torch.Tensor:
    """As a model's processor would show it."""
    small = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    pixels = torch.tensor(list(small.tobytes()), dtype=torch.float32).view(SIZE, SIZE, 3).permute(2, 0, 1)
    return thumbnails_of(pixels[None] / 255 - 0.5, 1)[0].view(SIDE, SIDE)


@pytest.fixture(scope="module")
def photographs():
    """The bank's pictures that stand on no plain ground."""
    return [one.image for one in load_bank().pictures if transforms.plain_border(one.image) is None]


@pytest.fixture(scope="module")
def keys(photographs):
    return torch.stack([thumbnail(one) for one in photographs])


def test_there_are_photographs_to_try(photographs):
    assert len(photographs) >= 6


@pytest.mark.parametrize("change", [
    lambda p: p, ImageOps.mirror, lambda p: p.resize((50, 50)),
    lambda p: ImageEnhance.Brightness(p).enhance(0.7), lambda p: ImageEnhance.Contrast(p).enhance(1.4),
    lambda p: p.crop((p.width // 12, 0, p.width, p.height * 11 // 12)), ImageOps.grayscale,
])  # fmt: skip
def test_a_view_agrees_with_its_own_picture_and_with_no_other(photographs, keys, change):
    for number, picture in enumerate(photographs):
        found = agreement(keys, thumbnail(change(picture.convert("RGB")))) >= needed(keys)
        assert found[number] and int(found.sum()) == 1


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_views_as_users_meet_them_agree(photographs, keys, seed):
    number = seed % len(photographs)
    shown = [thumbnail(view) for view in transforms.views(photographs[number], 7, seed)]
    found = torch.stack([agreement(keys, one) for one in shown])
    # of a photograph's views 3 in a thousand cannot be laid over it; of grass and stars a few more
    assert int((found[:, number] >= needed(keys)[number]).sum()) >= 5
    found[:, number] = NOT
    assert not (found >= needed(keys)).any()


def test_what_is_compared_along_does_not_matter(keys):
    together = agreement(keys, keys[3])
    for number, key in enumerate(keys):
        assert agreement(key[None], keys[3])[0] == pytest.approx(float(together[number]), abs=1e-4)


def test_what_is_finer_than_a_thumbnail_need_not_agree_as_well(photographs, keys):
    fine, smooth = torch.rand(1, SIDE, SIDE), keys[:1]
    assert needed(fine)[0] < 0.6 < 0.9 < needed(smooth)[0]


def test_contrast_and_brightness_do_not_matter(keys):
    plain, lit = agreement(keys, keys[0]), agreement(keys, keys[0] * 0.4 + 0.3)
    assert lit[0] == pytest.approx(1, abs=1e-3) and int(lit.argmax()) == int(plain.argmax()) == 0


def test_nothing_agrees_with_nothing(keys):
    assert agreement(keys[:0], keys[0]).shape == (0,)
    flat = agreement(keys, torch.zeros(SIDE, SIDE))
    assert not (flat >= needed(keys)).any() and bool(torch.isfinite(flat).all())
    assert bool(torch.isfinite(agreement(torch.zeros(2, SIDE, SIDE), keys[0])).all())


def test_stored_thumbnails_are_the_same_whichever_comes_first(keys):
    stored = as_bytes(keys.flatten(1))
    ones, others = stored[[0, 1, 2, 3]], stored[[0, 2, 2, 1]]
    assert same(ones, others).tolist() == same(others, ones).tolist() == [True, False, True, False]
    mirrored = stored.view(-1, SIDE, SIDE).flip(2).reshape(len(stored), -1)
    assert same(stored, mirrored).all() and same(mirrored, stored).all()
    assert same(stored[:0], stored[:0]).tolist() == []
