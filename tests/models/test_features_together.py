"""Pictures that are looked at together look as they do one by one, but for rounding."""

import pytest
import tiny
import torch

from okedit_cli.models import features, prefixes
from okedit_cli.models.encode import encode_row
from okedit_cli.models.features import forget_looks, look, look_of, look_together, up_to_picture
from okedit_cli.models.prefixes import prefix_behind


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


def test_what_has_been_seen_is_not_made_into_pixels_again(seeing, monkeypatch):
    first, second = tiny.picture("red"), tiny.picture("green")
    looks = [look_of(seeing, one) for one in (first, second)]
    prefix = prefix_behind(seeing, first)
    row = up_to_picture(seeing, encode_row(seeing, "?", first))
    assert looks[0] is look(seeing, row, first) and looks[0].ids == tuple(row["input_ids"][0].tolist())
    monkeypatch.setattr(features, "encode_row", pytest.fail)
    monkeypatch.setattr(prefixes, "encode_row", pytest.fail)
    assert [look_of(seeing, one) for one in (first, second)] == looks
    look_together(seeing, [second, first])
    assert prefix_behind(seeing, first) is prefix and prefix.seen is looks[0]


def test_what_was_forgotten_is_looked_at_again_and_ids_given_anew_mean_nothing(seeing):
    first, second = tiny.picture("red"), tiny.picture("green")
    seen = look_of(seeing, first)
    # as if the second had been given the id of the first
    seeing.cache["look_ids"][id(second)] = seen.ids
    seeing.cache["looks"].put((id(second), seen.ids), seen, 1, 1 << 30)
    assert features._seen(seeing, second) is None
    forget_looks(seeing, [first, second])
    assert look_of(seeing, first) is not seen
