"""A bundle is refused by another model, in words, with both values."""

from __future__ import annotations

import pytest
from bundle.factory import BASE, make_bundle

from okedit_cli.bundle import check_fit
from okedit_cli.errors import ModelMismatch


def test_the_same_model_fits_without_a_word():
    assert check_fit(make_bundle().manifest, dict(BASE)) == []


@pytest.mark.parametrize("name, value, words", [
    ("architecture", "Qwen2VL", "architecture.*LlavaFor.*Qwen2VL"),
    ("hidden_size", 9, "hidden size was 8.* 9"),
    ("layers", 30, "number of layers was 3.*30"), ("vocab_size", 7, "vocabulary size was 100.*7"),
    ("weights", "e" * 64, f"weights was {'a' * 12} .*{'e' * 12}"), ("tokenizer", "e" * 64, "tokenizer"),
    ("chat_template", None, "chat template.*none"),
    ("image_processor_class", "Fast", "class of the image.*Mini.*Fast"),
    ("image_processor", "e" * 64, "settings of the image processor"),
])  # fmt: skip
def test_a_difference_that_matters_is_refused(name, value, words):
    with pytest.raises(ModelMismatch, match=words) as caught:
        check_fit(make_bundle().manifest, {**BASE, name: value})
    assert caught.value.exit_code == 4 and caught.value.hint


def test_the_plainest_difference_is_told_first():
    with pytest.raises(ModelMismatch, match="architecture"):
        check_fit(
            make_bundle().manifest, {**BASE, "weights": "e" * 64, "architecture": "X", "tokenizer": None}
        )


@pytest.mark.parametrize(
    "name, value", [("name", "copy-of-mini"), ("revision", "abc123"), ("dtype", "bfloat16")]
)
def test_a_soft_difference_warns_and_strict_refuses_it(name, value):
    found = check_fit(make_bundle().manifest, {**BASE, name: value})
    assert len(found) == 1 and value in found[0]
    with pytest.raises(ModelMismatch, match=value):
        check_fit(make_bundle().manifest, {**BASE, name: value}, strict=True)


def test_what_only_one_side_says_is_told():
    base = {name: value for name, value in BASE.items() if name != "vocab_size"}
    assert "vocabulary" in check_fit(make_bundle().manifest, base)[0]
