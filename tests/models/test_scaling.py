"""How large a picture is shown to models whose tokens grow with it."""

import pytest
import tiny
from PIL import Image

from okedit_cli.models.encode import encode_row
from okedit_cli.models.load import load_model
from okedit_cli.models.scaling import PICTURE_TOKENS
from okedit_cli.models.sites import image_token_id, text_config


def tokens(loaded, picture):
    ids = encode_row(loaded, "What is this?", picture)["input_ids"]
    return int((ids == image_token_id(loaded.model)).sum())


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def growing(request, tmp_path_factory):
    loaded = load_model(str(tiny.build(request.param, tmp_path_factory.mktemp(request.param))))
    settings = loaded.processor.image_processor
    settings.size = {"shortest_edge": 56 * 56, "longest_edge": 1 << 26}
    text_config(loaded.model).max_position_embeddings = 1 << 15
    return loaded


@pytest.mark.parametrize("size", [(4000, 3000), (1000, 5000)])
def test_a_photograph_takes_a_bounded_number_of_tokens(growing, size):
    found = tokens(growing, Image.effect_noise(size, 50).convert("RGB"))
    assert 0.9 * PICTURE_TOKENS < found <= PICTURE_TOKENS


def test_a_picture_that_fits_is_shown_as_it_is(growing):
    picture = Image.effect_noise((400, 300), 50).convert("RGB")
    given = encode_row(growing, "What is this?", picture)
    own = growing.processor.image_processor([picture], return_tensors="pt")
    assert given["pixel_values"].equal(own["pixel_values"])
