"""Pictures that are looked at together look as they do one by one, but for rounding."""

import pytest
import tiny
import torch

from okedit_cli.models.encode import encode_row
from okedit_cli.models.features import forget_looks, look, look_together, up_to_picture


@pytest.fixture(params=[family for family in tiny.FAMILIES if family not in ("gpt2", "llama")])
def seeing(request, opened):
    return opened[request.param]


def test_together_and_one_by_one(seeing):
    pictures = [tiny.picture(colour) for colour in ("red", "green", "blue")]
    pictures.append(tiny.picture("red", (64, 48)))
    rows = [up_to_picture(seeing, encode_row(seeing, "?", picture)) for picture in pictures]
    alone = [look(seeing, row, picture) for row, picture in zip(rows, pictures, strict=True)]
    forget_looks(seeing, pictures)
    look_together(seeing, pictures)
    known = len(seeing.cache["looks"])
    for row, picture, one in zip(rows, pictures, alone, strict=True):
        found = look(seeing, row, picture)
        assert found is not one and found.picture is picture
        torch.testing.assert_close(found.embeds, one.embeds)
        torch.testing.assert_close(found.vector, one.vector)
        assert torch.equal(found.places, one.places)
        assert (found.positions is None) == (one.positions is None)
        if one.positions is not None:
            assert torch.equal(found.positions, one.positions)
    assert len(seeing.cache["looks"]) == known
    forget_looks(seeing, pictures)
    assert len(seeing.cache["looks"]) == known - len(pictures)
