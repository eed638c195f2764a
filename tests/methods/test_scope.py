"""How far an edit reaches: the calibrated radius, never past a given negative, none where there is none."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from okedit_cli.methods.channels import judged
from okedit_cli.methods.scope import CLEAR, SAME, reach, spread_keys

SIZE = 5
NONE = torch.zeros(0, SIZE)
seeds = st.integers(0, 2**31)
counts = st.integers(1, 12)
radii = st.floats(0.05, 20)


def points(count, seed, spread=1.0):
    return spread * torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def nearest(found, negatives):
    return float(torch.cdist(negatives, found.keys).min())


@given(counts, counts, st.integers(0, 6), seeds, st.floats(0.05, 3), radii, st.floats(0, 0.99))
def test_no_radius_passes_a_given_negative(inside, outside, drawn, seed, spread, calibrated, balance):
    positives, negatives = points(inside, seed, spread), points(outside, seed + 1)
    found = reach(positives, negatives, points(drawn, seed + 2), calibrated, balance=balance)
    assert found.radius < nearest(found, negatives)
    assert 0 <= found.radius <= calibrated and found.exists == (found.radius > 0)
    if found.exists:
        assert found.d_neg <= nearest(found, negatives)


@given(counts, st.integers(1, 6), seeds, radii)
def test_no_radius_passes_a_drawn_negative_unless_it_may_be_a_positive(inside, drawn, seed, calibrated):
    """One that lies far inside the calibrated radius may show, or ask, the very same."""
    positives, negatives = points(inside, seed), points(drawn, seed + 1)
    found = reach(positives, NONE, negatives, calibrated)
    away = torch.cdist(negatives, found.keys).amin(1)
    beyond = away[away > SAME * calibrated]
    assert 0 < found.radius <= calibrated
    assert not len(beyond) or found.radius <= CLEAR * float(beyond.min()) < float(beyond.min())


@given(st.integers(2, 12), counts, st.integers(0, 6), seeds, radii)
@example(2, 5, 0, 854, 1.0)
def test_more_negatives_never_widen_a_scope(inside, outside, drawn, seed, calibrated):
    positives, negatives, others = (
        points(inside, seed, 0.2),
        points(outside, seed + 1),
        points(drawn, seed + 2),
    )
    found = reach(positives, negatives, others, calibrated)
    more, further = torch.cat([negatives, points(3, seed + 3)]), torch.cat([others, points(3, seed + 4)])
    assert reach(positives, more, others, calibrated).radius <= found.radius
    assert reach(positives, negatives, further, calibrated).radius <= found.radius
    assert reach(positives, negatives.flip(0), others.flip(0), calibrated).radius == found.radius


@given(counts, seeds, radii)
def test_without_negatives_the_radius_is_the_calibrated_one(inside, seed, calibrated):
    found = reach(points(inside, seed), NONE, NONE, calibrated)
    assert found.exists and found.radius == calibrated and found.d_neg == float("inf")


@given(counts, seeds, st.integers(1, 8))
def test_keys_are_positives_the_edit_first(inside, seed, count):
    positives = points(inside, seed)
    chosen = spread_keys(positives, count)
    assert chosen[0] == 0 and len(set(chosen)) == len(chosen) == min(count, inside)
    found = reach(positives, points(1, seed + 1), NONE, 1.0, count=count)
    assert torch.equal(found.keys, positives[chosen])


@given(counts, counts, seeds, st.integers(0, 8))
def test_keys_go_on_from_those_there_are(there, more, seed, count):
    """Each is the one farthest from all before it."""
    every = points(there + more, seed)
    chosen = spread_keys(every, there + count, begun=there)
    assert chosen[:there] == list(range(there)) and len(chosen) == there + min(count, more)
    for place in range(there, len(chosen)):
        apart = torch.cdist(every, every[chosen[:place]]).amin(1)
        assert float(apart[chosen[place]]) == pytest.approx(float(apart.max()), rel=1e-4)


def test_the_same_positive_again_is_no_key_of_its_own():
    assert spread_keys(torch.ones(5, SIZE)) == [0]
    found = reach(torch.ones(5, SIZE), torch.zeros(1, SIZE), NONE, 9.0)
    assert found.d_pos == 0 and 0 < found.radius < found.d_neg == pytest.approx(SIZE**0.5)


def test_the_radius_lies_between_both_sides():
    positives, kept = torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0]])
    found = reach(positives, kept, torch.zeros(0, 1), 9.0, balance=0.5)
    assert (found.d_pos, found.d_neg, found.radius) == (1.0, 3.0, 2.0)
    assert reach(positives, kept, torch.zeros(0, 1), 1.5, balance=0.5).radius == 1.5


def test_what_the_user_keeps_may_lie_between_the_edits_wordings():
    """Nearer to a key than the wordings are to each other, but outside: the radius ends before it."""
    positives = torch.tensor([[0.0], [4.0], [8.0]])
    found = reach(positives, torch.tensor([[2.0]]), torch.zeros(0, 1), 1.0)
    assert found.exists and 0 < found.radius < 2.0


def test_a_negative_nearer_than_the_radius_reaches_leaves_none():
    positives = torch.tensor([[0.0], [4.0], [8.0]])
    found = reach(positives, torch.tensor([[0.5]]), torch.zeros(0, 1), 9.0)
    assert not found.exists and found.radius == 0
    scope = judged(found, None)
    assert not scope.exists and "over-reach" in scope.why and scope.channel == "question"


def test_the_channel_that_binds_is_the_tighter_one():
    none = torch.zeros(0, 1)
    wide = reach(torch.zeros(2, 1), torch.tensor([[9.0]]), none, 9.0)
    tight = reach(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.5]]), none, 9.0)
    assert judged(wide, tight).channel == "picture" and judged(tight, wide).channel == "question"
    assert judged(tight, wide).exists and judged(tight, wide).radius == tight.radius
