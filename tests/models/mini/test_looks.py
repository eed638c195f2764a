"""The learned picture space belongs to okedit-mini, and to no other model."""

from pathlib import Path

import torch
from okedit_cli.models.mini.looks import LOOK_WIDTH, has_learned_looks, learned_look
from okedit_cli.models.recognition import look_features
from okedit_cli.models.thumbnails import THUMBNAIL

import okedit_cli
from okedit_cli.evaluate import load_cases, present
from okedit_cli.methods.base import Options
from okedit_cli.methods.spaces import LEARNED, WHITENED, spaces_of
from okedit_cli.pictures import load_picture

PICTURES = Path(__file__).parents[3] / "examples" / "okedit-pictures"


def test_it_is_of_this_very_model_and_puts_views_nearer_than_near_things():
    model = okedit_cli.load_model("okedit-mini")
    assert has_learned_looks(model)
    assert spaces_of(model, Options()).reaches == LEARNED != WHITENED
    inside, outside = [], []
    for case in present(load_cases(PICTURES / "test.json")).cases[:12]:
        shown = [case.picture, *case.pictures, *(probe.picture for probe in case.picture_locality)]
        looks = look_features(model, [load_picture(path) for path in shown])
        keys = looks[:, -LOOK_WIDTH - THUMBNAIL : -THUMBNAIL]
        distance = torch.linalg.vector_norm(keys[1:] - keys[0], dim=1)
        inside.append(distance[: len(case.pictures)].mean())
        outside.append(distance[len(case.pictures) :].mean())
    assert sum(one < other for one, other in zip(inside, outside, strict=True)) >= 11


def test_another_model_has_none(tmp_path):
    import tiny

    other = okedit_cli.load_model(str(tiny.build("llava", tmp_path / "llava")))
    assert not has_learned_looks(other) and len(learned_look(other, torch.zeros(18, 64))) == 0


def test_pictures_of_one_prompt_are_averaged_and_what_is_none_is_left_out():
    model = okedit_cli.load_model("okedit-mini")
    width = model.model.config.text_config.hidden_size
    tokens = torch.randn(36, width, generator=torch.Generator().manual_seed(0))
    first, second = learned_look(model, tokens[:18]), learned_look(model, tokens[18:])
    torch.testing.assert_close(learned_look(model, tokens), (first + second) / 2)
    assert torch.equal(learned_look(model, tokens[:30]), first)
    assert torch.equal(learned_look(model, tokens[:5]), torch.zeros(LOOK_WIDTH))
