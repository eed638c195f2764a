"""Thumbnails of what a model is shown: where pixels are one picture, and nowhere else."""

import pytest
import torch

from okedit_cli.models.thumbnails import (
    SIDE,
    THUMBNAIL,
    as_bytes,
    thumbnail_in,
    thumbnails_of,
    thumbnails_of_rows,
)


def pixels(count=2, side=64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_thumbnail_is_brightness_from_0_to_1():
    found = thumbnails_of(pixels(), 2)
    assert all(one.shape == (THUMBNAIL,) and one.min() == 0 and one.max() == 1 for one in found)
    grey = pixels(1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    again, scaled = thumbnails_of(grey, 1)[0], thumbnails_of(grey * 3 + 2, 1)[0]
    assert torch.allclose(again, scaled, atol=1e-5)  # what a processor scales does not matter
    assert torch.equal(as_bytes(again), as_bytes(scaled)) and as_bytes(again).dtype == torch.uint8


def test_a_picture_among_tiles_is_found():
    assert torch.equal(thumbnails_of(pixels()[:, None], 2)[1], thumbnails_of(pixels(), 2)[1])


@pytest.mark.parametrize("given", [
    None, "pixels", torch.zeros(2, 3, 64, 64, dtype=torch.int64), torch.rand(8, 1176), pixels(3),
    torch.rand(2, 4, 3, 64, 64), torch.rand(2, 1, 64, 64), torch.rand(2, 3, 8, 64),
    torch.full((2, 3, 64, 64), 0.5), torch.full((2, 3, 64, 64), torch.nan),
])  # fmt: skip
def test_what_is_no_picture_of_pixels_has_none(given):
    found = thumbnails_of(given, 2)
    assert len(found) == 2 and not any(one.any() for one in found)


def test_rows_without_a_picture_are_left_out():
    shows = torch.tensor([[False, True, True], [False, False, False], [True, False, False]])
    first, none, last = thumbnails_of_rows(pixels(), shows)
    assert none is None
    assert all(torch.equal(a, b) for a, b in zip((first, last), thumbnails_of(pixels(), 2), strict=True))


def test_several_pictures_in_a_row_leave_all_without():
    """Which is whose nobody can tell."""
    found = thumbnails_of_rows(pixels(3), torch.tensor([[True, True], [True, False]]))
    assert not any(one.any() for one in found)


def test_a_vector_tells_its_thumbnail():
    small = thumbnails_of(pixels(1), 1)[0]
    assert torch.equal(thumbnail_in(torch.cat([torch.ones(5), small])), small)
    assert thumbnail_in(torch.cat([torch.ones(5), torch.zeros(THUMBNAIL)])) is None
    assert thumbnail_in(torch.ones(SIDE)) is None
