"""How a bundle and a model go together: exactly, by architecture, or not at all; with both values."""

from __future__ import annotations

import re

import pytest
from bundle.factory import BASE, make_bundle

from okedit_cli.bundle import check_fit
from okedit_cli.bundle.fit import compare
from okedit_cli.errors import ModelMismatch


def test_the_same_model_fits_without_a_word():
    assert check_fit(make_bundle().manifest, dict(BASE), strict=True) == []
    assert compare(BASE, dict(BASE)).grade == "exact"


@pytest.mark.parametrize("name, value, words", [
    ("architecture", "Qwen2VL", "architecture was LlavaFor.*Qwen2VL"),
    ("hidden_size", 9, "hidden size was 8.* 9"),
    ("layers", 30, "number of layers was 3.*30"), ("vocab_size", 7, "vocabulary size was 100.*7"),
])  # fmt: skip
def test_other_sizes_are_incompatible(name, value, words):
    assert compare(BASE, {**BASE, name: value}).grade == "incompatible"
    with pytest.raises(ModelMismatch, match=words) as caught:
        check_fit(make_bundle().manifest, {**BASE, name: value})
    assert caught.value.exit_code == 4 and "make the edits" in caught.value.hint


@pytest.mark.parametrize("name, value, words", [
    ("weights", "e" * 64, f"weights differs.*{'a' * 12}, this is {'e' * 12}; edits were fitted to other"),
    ("tokenizer", "e" * 64, f"tokenizer differs.*{'b' * 12}, this is {'e' * 12}"),
    ("chat_template", None, f"chat template differs.*{'c' * 12}, this is none"),
    ("image_processor_class", "Fast", "class of the image.*MiniProcessor, this is Fast"),
    ("image_processor", "e" * 64, f"settings of the image processor differs.*{'d' * 12}, this is {'e' * 12}"),
    ("revision", "abc123", "revision differs.*none, this is abc123"),
    ("dtype", "bfloat16", "dtype differs.*float32, this is bfloat16"),
])  # fmt: skip
def test_the_same_architecture_warns_and_strict_refuses(name, value, words):
    model = {**BASE, name: value}
    assert compare(BASE, model).grade == "same architecture"
    [found] = check_fit(make_bundle().manifest, model)
    assert re.search(words, found), found
    with pytest.raises(ModelMismatch, match=str(value or "none")[:12]) as caught:
        check_fit(make_bundle().manifest, model, strict=True)
    assert caught.value.exit_code == 4 and "leave out --strict" in caught.value.hint


def test_what_nobody_named_must_have_the_same_content():
    manifest = make_bundle().manifest
    assert len(check_fit(manifest, {**BASE, "dtype": "bfloat16"}, content=True)) == 1
    for name in ("weights", "tokenizer", "chat_template", "image_processor_class", "image_processor"):
        with pytest.raises(ModelMismatch, match="does not belong"):
            check_fit(manifest, {**BASE, name: "e" * 64}, content=True)


def test_a_name_means_nothing_where_the_weights_agree():
    """The same checkpoint in another folder is the same model; another by another name is told so."""
    manifest = make_bundle().manifest
    assert check_fit(manifest, {**BASE, "name": "copy-of-mini"}, strict=True) == []
    name, weights = check_fit(manifest, {**BASE, "name": "other/mini", "weights": "e" * 64})
    assert "name differs" in name and "other/mini" in name and "weights differs" in weights
    with pytest.raises(ModelMismatch, match=r"name was okedit-mini.*other/mini \(.*weights differs as well"):
        check_fit(manifest, {**BASE, "name": "other/mini", "weights": "e" * 64}, strict=True)


def test_the_plainest_difference_is_told_first():
    model = {**BASE, "weights": "e" * 64, "architecture": "X", "tokenizer": None}
    with pytest.raises(ModelMismatch, match="architecture was .* weights, the tokenizer differ as well"):
        check_fit(make_bundle().manifest, model)


def test_what_only_one_side_says_is_told():
    base = {name: value for name, value in BASE.items() if name != "vocab_size"}
    assert "vocabulary" in check_fit(make_bundle().manifest, base)[0]
