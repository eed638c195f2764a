"""Spaces: what varies inside a group shrinks, what tells groups apart stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.edits.space import best_space, fit_space, separation

SIZE = 12


def features(groups=30, each=4, noise=5.0, seed=0):
    """Groups that differ in the last three numbers; the first three vary loudly whatever the group."""
    chance = torch.Generator().manual_seed(seed)
    centres = torch.zeros(groups, SIZE)
    centres[:, -3:] = torch.randn(groups, 3, generator=chance)
    out = centres.repeat_interleave(each, 0) + 0.05 * torch.randn(groups * each, SIZE, generator=chance)
    out[:, :3] += noise * torch.randn(groups * each, 3, generator=chance)
    return out, torch.arange(groups).repeat_interleave(each)


def test_a_space_silences_what_varies_inside_groups():
    rows, group = features()
    assert separation(rows, group) < 0.1
    space = best_space(rows, group)
    assert space.separation > 0.7
    unseen, other = features(seed=1)
    assert separation(space(unseen), other) > 0.7


@given(st.integers(0, 2**31), st.sampled_from((0.003, 0.1, 1.0)))
@settings(max_examples=20)
def test_distances_do_not_depend_on_where_the_origin_is(seed, shrinkage):
    rows, group = features(groups=6, seed=seed)
    moved = rows + 3.0
    one, other = fit_space(rows, group, shrinkage), fit_space(moved, group, shrinkage)
    torch.testing.assert_close(
        torch.cdist(one(rows), one(rows)), torch.cdist(other(moved), other(moved)), atol=1e-2, rtol=1e-2
    )


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_separation_is_a_share_and_does_not_depend_on_scale_or_order(seed):
    rows, group = features(groups=6, noise=0.5, seed=seed)
    value = separation(rows, group)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    assert 0 <= value <= 1
    assert separation(rows * 2, group) == pytest.approx(value, abs=0.02)
    assert separation(rows[order], group[order]) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("groups", [3, 30])  # samples fewer than they are wide, and more
def test_a_space_is_the_inverse_square_root_of_the_scatter_inside_groups(groups):
    rows, group = features(groups=groups, each=2)
    space = fit_space(rows, group, 0.1, width=SIZE)
    exact, means = rows.double(), torch.stack([rows[group == one].double().mean(0) for one in group])
    scatter = (exact - means).T @ (exact - means) / (len(rows) - groups)
    scatter += 0.1 * (exact - exact.mean(0)).var(0).mean() * torch.eye(SIZE)
    values, vectors = torch.linalg.eigh(scatter)
    torch.testing.assert_close(
        space.projection, (vectors @ torch.diag(values.rsqrt()) @ vectors.T).float(), atol=1e-5, rtol=1e-4
    )


def test_groups_far_apart_separate_wholly():
    rows, group = features(noise=0.0)
    assert separation(rows + 1000.0 * group[:, None], group) == 1.0


def test_a_narrow_space_keeps_distances_roughly():
    rows, group = features(noise=0.0)
    wide, narrow = fit_space(rows, group, 1.0), fit_space(rows, group, 1.0, width=8)
    assert narrow.projection.shape == (SIZE, 8) and wide.projection.shape == (SIZE, SIZE)
    ratio = torch.pdist(narrow(rows)).mean() / torch.pdist(wide(rows)).mean()
    assert 0.6 < float(ratio) < 1.5


def test_the_same_rows_give_the_same_space():
    one, other = (best_space(*features(), width=8) for _ in range(2))
    assert torch.equal(one.projection, other.projection) and one == one and one.shrinkage == other.shrinkage
