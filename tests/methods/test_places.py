"""Directions that tell the places of an answer apart."""

import pytest
import torch

from okedit_cli.methods.places import parting, places_of

WIDTH, RANK = 24, 3
FIRST = torch.randn(RANK, WIDTH, generator=torch.Generator().manual_seed(1))


def samples(places: int, count: int = 12, noise: float = 1.0, seed: int = 0):
    """(fact, place) -> [count, WIDTH] of one fact: places lie apart in their own directions, and what varies
    between wordings is larger, in two other directions.
    """
    chance = torch.Generator().manual_seed(seed)
    means = torch.eye(WIDTH)[:places]
    varies = torch.zeros(WIDTH)
    varies[-2:] = 3 * noise
    varies[:-2] = 0.05
    return {
        (0, place): means[place] + varies * torch.randn(count, WIDTH, generator=chance)
        for place in range(places)
    }


def test_places_of_other_wordings_are_told_apart_where_random_directions_do_not():
    directions = parting(samples(4), FIRST, 1)[0]
    others = samples(4, seed=7)
    means = torch.stack([rows.mean(0) for rows in samples(4).values()]) @ directions.T
    for place, rows in enumerate(others.values()):
        assert (torch.cdist(rows @ directions.T, means).argmin(1) == place).all()
    plain = torch.stack([rows.mean(0) for rows in samples(4).values()]) @ FIRST.T
    told = [
        (torch.cdist(rows @ FIRST.T, plain).argmin(1) == place).float().mean()
        for place, rows in enumerate(others.values())
    ]
    assert sum(told) / len(told) < 0.6


@pytest.mark.parametrize("places", [1, 2, 4, 6])
def test_there_are_as_many_directions_as_ranks(places):
    found = parting(samples(places), FIRST, 1)
    known = min(RANK, places - 1)
    assert found.shape == (1, RANK, WIDTH) and found.isfinite().all()
    assert torch.equal(found[0, known:], FIRST[: RANK - known])
    own = torch.stack([rows.mean(0) for rows in samples(places).values()])
    spread = ((own - own.mean(0)) @ found[0, :known].T).pow(2).mean(0).sqrt()
    torch.testing.assert_close(spread, torch.ones(known), atol=1e-3, rtol=1e-3)


def test_of_nothing_known_the_first_directions_are_left():
    assert torch.equal(parting({}, FIRST, 2), FIRST.repeat(2, 1, 1))


def test_samples_that_do_not_vary_are_no_trouble():
    found = parting(samples(3, noise=0.0, count=1), FIRST, 1)
    assert found.isfinite().all()


def test_what_stands_at_each_place_of_each_fact():
    states = torch.arange(2 * 3, dtype=torch.float32).reshape(2, 3, 1).expand(2, 3, WIDTH)
    targets = torch.tensor([[5, 6, 7], [5, 6, -100]])
    found = places_of([states, states], [targets, targets], [torch.tensor([0, 1]), torch.tensor([1, 1])])
    assert {key: rows[:, 0].tolist() for key, rows in found.items()} == {
        (0, 0): [0.0], (0, 1): [1.0], (0, 2): [2.0],
        (1, 0): [3.0, 0.0, 3.0], (1, 1): [4.0, 1.0, 4.0], (1, 2): [2.0],
    }  # fmt: skip
