"""How far an edit reaches: between both sides, never past a negative, and none where there is none."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.methods.balancedit import judged
from okedit_cli.methods.scope import reach, spread_keys

SIZE = 5
seeds = st.integers(0, 2**31)


def points(count, seed, spread=1.0):
    return spread * torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 12), st.integers(1, 12), seeds, st.floats(0.05, 3), st.floats(0, 0.99))
def test_no_radius_passes_a_negative(inside, outside, seed, spread, balance):
    positives, negatives = points(inside, seed, spread), points(outside, seed + 1)
    found = reach(positives, negatives, balance=balance)
    nearest = float(torch.cdist(negatives, found.keys).min())
    assert found.radius < nearest
    assert found.exists == (found.d_pos < found.d_neg) == (found.radius > 0 or found.d_pos == balance == 0)
    if found.exists:
        assert found.d_pos <= found.radius < found.d_neg


@given(st.integers(2, 12), st.integers(1, 12), seeds)
def test_more_negatives_never_widen_a_scope(inside, outside, seed):
    positives, negatives = points(inside, seed, 0.2), points(outside, seed + 1)
    found = reach(positives, negatives)
    assert reach(positives, torch.cat([negatives, points(3, seed + 2)])).radius <= found.radius
    assert reach(positives, negatives.flip(0)).radius == found.radius


@given(st.integers(1, 12), seeds)
def test_without_negatives_there_is_a_radius(inside, seed):
    found = reach(points(inside, seed), torch.zeros(0, SIZE))
    assert found.exists and 0 < found.radius < float("inf") and found.radius >= found.d_pos


@given(st.integers(1, 12), seeds, st.integers(1, 8))
def test_keys_are_positives_the_edit_first(inside, seed, count):
    positives = points(inside, seed)
    chosen = spread_keys(positives, count)
    assert chosen[0] == 0 and len(set(chosen)) == len(chosen) == min(count, inside)
    assert torch.equal(reach(positives, points(1, seed + 1), count=count).keys, positives[chosen])


def test_the_same_positive_again_is_no_key_of_its_own():
    assert spread_keys(torch.ones(5, SIZE)) == [0]
    found = reach(torch.ones(5, SIZE), torch.zeros(1, SIZE))
    assert found.d_pos == 0 and 0 < found.radius < found.d_neg


def test_a_negative_between_the_positives_leaves_no_radius():
    positives = torch.tensor([[0.0], [4.0], [8.0]])
    found = reach(positives, torch.tensor([[0.5]]))
    assert not found.exists and found.radius == 0
    scope = judged(found, None)
    assert not scope.exists and "over-reach" in scope.note and scope.channel == "question"


def test_the_channel_that_binds_is_the_tighter_one():
    wide = reach(torch.zeros(2, 1), torch.tensor([[9.0]]))
    tight = reach(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.5]]))
    assert judged(wide, tight).channel == "picture" and judged(tight, wide).channel == "question"
    assert judged(tight, wide).exists and judged(tight, wide).radius == tight.radius
