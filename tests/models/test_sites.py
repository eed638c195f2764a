"""Decoder layers and their feed-forward parts, in every family and in layouts that are seldom."""

import pytest
import tiny
from torch import nn

from okedit_cli.errors import ModelError
from okedit_cli.models import sites


def test_layers_of_the_text_decoder(loaded):
    layers = sites.decoder_layers(loaded.model)
    assert len(layers) == tiny.LAYERS
    assert any(child is layers for child in sites.decoder(loaded.model).children())
    assert sites.hidden_size(loaded.model) == tiny.WIDTH
    # the vision tower may have as many layers (LLaVA's here has): none of them is the decoder's
    text = {id(parameter) for parameter in layers.parameters()}
    vision = [
        parameter
        for name, parameter in loaded.model.named_parameters()
        if "vision" in name or "visual" in name
    ]
    assert not any(id(parameter) in text for parameter in vision)


def test_feed_forward_keeps_the_width(loaded):
    import torch

    for layer in sites.decoder_layers(loaded.model):
        out = sites.mlp_of(layer)(torch.zeros(1, 3, tiny.WIDTH))
        assert out.shape == (1, 3, tiny.WIDTH)


def test_image_token(loaded):
    number = sites.image_token_id(loaded.model)
    assert (number is None) == (loaded.name in tiny.TEXT_FAMILIES)
    if number is not None:
        assert loaded.tokenizer.convert_ids_to_tokens(number) == loaded.processor.image_token


def test_get_decoder_that_returns_the_model_itself(opened, monkeypatch):
    model = opened["llava"].model
    layers = sites.decoder_layers(model)
    monkeypatch.setattr(type(model), "get_decoder", lambda self: self)
    assert sites.decoder_layers(model) is layers


def test_a_config_that_does_not_agree(opened, monkeypatch):
    model = opened["llama"].model
    monkeypatch.setattr(model.config, "num_hidden_layers", 7)
    with pytest.raises(ModelError, match="no single list of 7 decoder layers"):
        sites.decoder_layers(model)


def _layer(**modules):
    layer = nn.Module()
    for name, module in modules.items():
        layer.add_module(name, module)
    return layer


def _block(first, second):
    return _layer(**{first: nn.Linear(4, 8), second: nn.Linear(8, 4)})


@pytest.mark.parametrize("name", ["mlp", "feed_forward", "ffn", "block_sparse_moe"])
def test_feed_forward_by_name(name):
    part = nn.Identity()
    assert sites.mlp_of(_layer(self_attn=nn.Identity(), **{name: part})) is part


def test_feed_forward_by_what_is_inside():
    part = _block("fc1", "fc2")
    assert (
        sites.mlp_of(_layer(self_attention=_block("w1", "w2"), thinking=part, norm=nn.LayerNorm(4))) is part
    )


def test_feed_forward_of_opt_is_its_second_map():
    from transformers import OPTConfig, OPTForCausalLM

    model = OPTForCausalLM(
        OPTConfig(
            vocab_size=32,
            hidden_size=8,
            ffn_dim=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
            word_embed_proj_dim=8,
        )
    )
    layer = sites.decoder_layers(model)[1]
    assert sites.mlp_of(layer) is layer.fc2


def test_no_feed_forward_at_all():
    with pytest.raises(ModelError, match="no feed-forward part among attention, norm"):
        sites.mlp_of(_layer(attention=_block("fc1", "fc2"), norm=nn.LayerNorm(4)))
