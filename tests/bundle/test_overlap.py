"""Which scopes meet: as every pair compared says, whatever the screens leave out, and quickly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.bundle import overlap, screen
from okedit_cli.bundle.overlap import Channel, overlaps

INF = float("inf")


def channel(edits: int, keys: int, width: int, by: torch.Generator, scale: float, spread: float) -> tuple:
    """Keys [edits * keys, width] far from the origin, around few centres; some edits have none, some are open
    or reach nothing.
    """
    owner = torch.randint(0, max(edits, 1), (edits * keys,), generator=by)
    centre = torch.randn(max(1, edits // 3), width, generator=by)
    pick = torch.randint(0, len(centre), (max(edits, 1),), generator=by)[owner]
    radius = torch.rand(edits, generator=by) * scale
    chance = torch.rand(edits, generator=by)
    radius[chance < 0.1], radius[chance > 0.9] = INF, 0
    return centre[pick] + spread * torch.randn(edits * keys, width, generator=by) + 30, owner, radius


def nearest(one: tuple, other: tuple) -> torch.Tensor:
    """Distances [N, M] float64 by the definition."""
    (a, mine, r), (b, theirs, s) = one, other
    pairs = torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
    out = torch.full((len(r), len(s)), INF, dtype=torch.float64)
    for i in range(len(r)):
        for j in range(len(s)):
            if (some := pairs[mine == i][:, theirs == j]).numel():
                out[i, j] = some.min()
    return out


def wanted(one: list[tuple], other: list[tuple]) -> set[tuple[int, int]]:
    meets = None
    for a, b in zip(one, other, strict=True):
        reach = torch.maximum(a[2][:, None], b[2][None]).double()
        meet = (nearest(a, b) < reach) | torch.isinf(reach)
        meets = meet if meets is None else meets & meet
    return {(i, j) for i, j in meets.nonzero().tolist()}


def found(one: list[tuple], other: list[tuple]) -> list[tuple[int, int]]:
    sides = [tuple(Channel.of(*channel) for channel in side) for side in (one, other)]
    return [pair for i, j, _ in overlaps(*sides) for pair in zip(i.tolist(), j.tolist(), strict=True)]


@pytest.fixture(params=["as it is", "small"])
def sizes(request, monkeypatch):
    """Blocks and sketches as they are, and so small that few edits fill many."""
    if request.param == "small":
        for name, value in {"ROWS": 4, "COLUMNS": 5, "WIDTH": 4, "BLOCK": 7, "SAMPLE": 8, "TRIED": 3}.items():
            monkeypatch.setattr(screen, name, value)
        monkeypatch.setattr(overlap, "ROWS", 4)
        monkeypatch.setattr(overlap, "PAIRS", 6)


@settings(max_examples=60)
@given(n=st.integers(0, 25), m=st.integers(0, 25), keys=st.integers(0, 4), seed=st.integers(0, 10**6),
       width=st.sampled_from([1, 3, 12, 140]), scale=st.sampled_from([0.01, 0.3, 1.0, 3.0]),
       spread=st.sampled_from([0.0, 0.1, 1.0]), exact=st.sampled_from([0, 2000, 10**9]))  # fmt: skip
def test_they_are_what_every_pair_compared_says(sizes, n, m, keys, seed, width, scale, spread, exact):
    """Against the definition; `exact` 0 never takes the second screen, a large one always does."""
    by = torch.Generator().manual_seed(seed)
    scale *= width**0.5
    one, other = ([channel(edits, keys, width, by, scale, spread) for _ in range(2)] for edits in (n, m))
    before, overlap.EXACT = overlap.EXACT, exact
    try:
        pairs = found(one, other)
    finally:
        overlap.EXACT = before
    assert pairs == sorted(set(pairs)) and set(pairs) == wanted(one, other)


@settings(max_examples=60)
@given(n=st.integers(1, 12), keys=st.integers(1, 3), seed=st.integers(0, 10**6), beyond=st.booleans())
def test_a_radius_that_just_reaches_or_just_does_not(sizes, n, keys, seed, beyond):
    """Radii that are a hair more or less than the distance to an edit: the worst that rounding can meet."""
    by = torch.Generator().manual_seed(seed)
    one, other = ([channel(n, keys, 12, by, 1.0, 0.3) for _ in range(2)] for _ in range(2))
    for number, (keys_of, owner, _) in enumerate(one):
        away = nearest((keys_of, owner, torch.zeros(n)), other[number])[:, 0].nan_to_num(posinf=1.0).float()
        towards = torch.full_like(away, INF if beyond else 0.0)
        one[number] = keys_of, owner, torch.nextafter(away, towards)
    assert set(found(one, other)) == wanted(one, other)


def test_most_pairs_are_ruled_out_before_they_are_measured(monkeypatch):
    """Where questions are all alike the pictures are asked first; a screen that let all through would pass
    every other test.
    """
    by, sides, measured = torch.Generator().manual_seed(0), [], []
    owner, radius = torch.arange(400).repeat_interleave(3), torch.full((400,), 3.0)
    for _ in range(2):
        pictures = 4 * torch.randn(400, 40, generator=by).repeat_interleave(3, 0)
        questions = torch.zeros(1200, 40)
        noise = 0.1 * torch.randn(2, 1200, 40, generator=by)
        sides.append([(pictures + noise[0], owner, radius), (questions + noise[1], owner, radius)])
    real = overlap._exact
    monkeypatch.setattr(overlap, "_exact", lambda *rest: measured.append(len(rest[2])) or real(*rest))
    sides[1][0][0][:30] = sides[0][0][0][:30]  # ten edits are in both
    assert found(*sides) == [(i, i) for i in range(10)] and sum(measured) < 20
    assert screen.Screen(*(Channel.of(*side[0]) for side in sides)).share < 0.01


@pytest.mark.parametrize("huge", [1e20, 3e38])
def test_keys_whose_squares_are_past_all_bounds(huge):
    by = torch.Generator().manual_seed(1)
    one, other = ([channel(6, 2, 5, by, 3.0, 0.3) for _ in range(2)] for _ in range(2))
    for side in (one, other):
        side[0][0][::3] = huge
    assert set(found(one, other)) == wanted(one, other)


def test_threads_are_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        by = torch.Generator().manual_seed(2)
        side = [channel(6, 2, 5, by, 3.0, 0.3)]
        blocks = overlaps(*(tuple(Channel.of(*one) for one in side) for _ in range(2)))
        next(blocks)
        blocks.close()  # a reader that stops half way
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
