"""Weight deltas: what a change is, which are refused, and that several add up and come off exactly."""

import pytest
import torch
from fitted import load
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.edits.delta import Change, Delta
from okedit_cli.errors import InvalidBundle, ModelMismatch
from okedit_cli.models.points import POINTS, Point, points_of, weight_at
from okedit_cli.session.weights import Weights


@settings(max_examples=20, deadline=None)
@given(rank=st.integers(0, 6), rows=st.integers(2, 12), columns=st.integers(2, 12), seed=st.integers(0, 99))
def test_a_change_is_kept_in_the_smaller_form_and_is_the_same(rank, rows, columns, seed):
    noise = torch.Generator().manual_seed(seed)
    whole = torch.randn(rows, rank, generator=noise) @ torch.randn(rank, columns, generator=noise)
    change = Change.of(whole)
    torch.testing.assert_close(change.whole(), whole, atol=1e-4, rtol=1e-4)
    assert change.shape == (rows, columns)
    size = sum(part.numel() for part in (change.down, change.up, change.full) if part is not None)
    assert size <= whole.numel()


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"delta.count": torch.tensor([-1])},
        {"delta.count": torch.tensor([1.0])},
        {"delta.count": torch.tensor([1]), "delta.7.nowhere.full": torch.zeros(2, 2)},
        {"delta.count": torch.tensor([1]), "delta.7.mlp_out.full": torch.zeros(2)},
        {"delta.count": torch.tensor([1]), "delta.7.mlp_out.down": torch.zeros(2, 2)},
        {
            "delta.count": torch.tensor([1]),
            "delta.7.mlp_out.down": torch.zeros(1, 2),
            "delta.7.mlp_out.up": torch.zeros(2, 2),
        },
        {"delta.count": torch.tensor([1]), "delta.7.mlp_out.full": torch.zeros(2, 2, dtype=torch.int64)},
    ],
)
def test_what_is_no_delta_is_refused(tensors):
    with pytest.raises(InvalidBundle):
        Delta.from_tensors(tensors)


def change_at(loaded, name: str, value: float) -> Delta:
    shape = weight_at(loaded.model, Point.parse(name)).shape
    return Delta({name: Change(full=torch.full(shape, value))}, 1)


@pytest.mark.parametrize("family", ["llama", "gpt2", "llava", "qwen2_vl"])
def test_changes_of_one_weight_add_up_and_the_very_same_tensor_comes_back(family):
    loaded = load(family)
    names = [str(point) for point in points_of(loaded.model, 1, POINTS)]
    assert {"1.mlp_out", "1.mlp_in", "1.o"} <= {*names}
    for name in names:
        weight = weight_at(loaded.model, Point.parse(name))
        before, matrix, weights = weight.tensor.data, weight.matrix(), Weights(loaded)
        weights.put([change_at(loaded, name, 0.25), change_at(loaded, name, 0.5)])
        torch.testing.assert_close(weight.matrix(), matrix + 0.75)
        weights.put([change_at(loaded, name, 0.25)])
        torch.testing.assert_close(weight.matrix(), matrix + 0.25)
        weights.take_off()
        assert weight.tensor.data.data_ptr() == before.data_ptr() and not weights.changed


def test_a_delta_that_cannot_act_on_a_model_says_why():
    loaded = load("llama")
    with pytest.raises(ModelMismatch, match=r"x: the model has no 99\.mlp_out"):
        Delta({"99.mlp_out": Change(full=torch.zeros(2, 2))}, 1).check(loaded, {}, "x")
    with pytest.raises(InvalidBundle, match="the change of 1.mlp_out is"):
        Delta({"1.mlp_out": Change(full=torch.zeros(2, 2))}, 1).check(loaded, {}, "x")
    with pytest.raises(InvalidBundle, match="not finite"):
        change_at(loaded, "1.mlp_out", float("nan")).check(loaded, {}, "x")
    with pytest.raises(ModelMismatch, match="not those that were changed"):
        change_at(loaded, "1.mlp_out", 1.0).check(loaded, {"weights": {"1.mlp_out": "0" * 64}}, "x")
    change_at(loaded, "1.mlp_out", 1.0).check(loaded, {}, "x")


@pytest.mark.parametrize(
    "text", ["", "mlp_out", "x.mlp_out", "1.mlp", "connector.x", "1.mlp_out.weight", "-1.q"]
)
def test_what_is_no_point(text):
    assert Point.parse(text) is None


def test_a_point_is_its_name():
    for text in ("0.q", "17.mlp_gate", "connector.2"):
        assert str(Point.parse(text)) == text
