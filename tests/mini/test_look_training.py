"""What the learned picture space is trained on and with: drawn flags, and the one map that it becomes."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools" / "mini"
D = 24


@pytest.fixture(autouse=True)
def _tools_at_hand(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield
    for name in ("made_flags", "look_pictures", "train_looks"):
        sys.modules.pop(name, None)


def test_a_flag_is_drawn_by_three_artists_the_same_from_the_same_seed():
    from made_flags import SIDE, made_flag

    first, again = (made_flag(random.Random(3)) for _ in range(2))
    assert [image.size for image in first] == [(SIDE, SIDE)] * 3
    for one, other in zip(first, again, strict=True):
        assert one.tobytes() == other.tobytes()
    assert len({image.tobytes() for image in first}) == 3


def test_flags_differ_more_from_each_other_than_from_themselves():
    from made_flags import made_flag

    chance = random.Random(5)
    drawn = [[np.asarray(i, np.float64).mean((0, 1)) for i in made_flag(chance)[:2]] for _ in range(60)]
    own = np.median([np.abs(waved - flat).sum() for waved, flat in drawn])
    others = np.median([np.abs(drawn[n][0] - drawn[n - 1][1]).sum() for n in range(60)])
    assert own * 3 < others


def test_weighing_is_the_mean_of_the_places_what_differs_from_it_and_what_is_said(monkeypatch):
    import train_looks

    monkeypatch.setattr(train_looks, "GRID_WIDTH", 6)
    monkeypatch.setattr(train_looks, "SAID_WIDTH", 4)
    tokens = torch.randn(50, 18, D, generator=torch.Generator().manual_seed(1))
    bases = train_looks.reduced(tokens)
    flat = train_looks.flattened(tokens, bases)
    weighed = flat @ train_looks.weighing(flat)
    grid = tokens[:, :9] @ bases["grid"]
    mean = grid.mean(1)
    rest = (grid - mean[:, None]).flatten(1)
    parts = weighed.split([6, 54, *[4] * 9], 1)
    for part, expected, weight in zip(parts[:2], (mean, rest), train_looks.PARTS[:2], strict=True):
        spread = expected.var(0).sum().sqrt()
        torch.testing.assert_close(part, weight * expected / spread, atol=1e-5, rtol=1e-4)
    for part in parts[2:]:
        assert float(part.var(0).sum().sqrt()) == pytest.approx(train_looks.PARTS[2], rel=1e-4)


def test_the_loss_falls_where_things_draw_together_and_strangers_part():
    import train_looks

    by = torch.Generator().manual_seed(2)
    owner = torch.arange(8).repeat_interleave(3)
    centres = torch.randn(8, 16, generator=by)
    near = train_looks.apart(centres[owner] + 0.05 * torch.randn(24, 16, generator=by), owner)
    mixed = train_looks.apart(centres[owner] + 2.0 * torch.randn(24, 16, generator=by), owner)
    far = train_looks.apart(0.05 * centres[owner] + 0.05 * torch.randn(24, 16, generator=by), owner)
    assert near < mixed and near < far
