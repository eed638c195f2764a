"""Tiny stand-ins for what okedit-mini is made of: a language model, a picture tower, trained parts."""

import json
import sys
import types

import pytest
import tiny
import torch
from safetensors.torch import save_file

from okedit_cli.models.mini import assemble
from okedit_cli.models.mini.language import CHAT_TEMPLATE


def _tower_module():
    """A picture tower of one linear map, in place of the real one: 2 x 2 image tokens of 28 px pictures."""
    from torch import nn
    from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    class Config(PreTrainedConfig):
        model_type = "okedit_tiny_tower"
        hidden_size: int = 8
        image_size: int = 28
        patch_size: int = 14

    class Model(PreTrainedModel):
        config_class = Config
        main_input_name = "pixel_values"

        def __init__(self, config):
            super().__init__(config)
            self.eye = nn.Linear(3, config.hidden_size)
            self.scale = nn.Parameter(torch.ones(1))
            self.post_init()

        def forward(self, pixel_values, **options):
            cells = nn.functional.adaptive_avg_pool2d(pixel_values, 2).flatten(2).transpose(1, 2)
            states = self.eye(cells) * self.scale
            return BaseModelOutputWithPooling(last_hidden_state=states, hidden_states=(states,))

    def register():
        AutoConfig.register(Config.model_type, Config, exist_ok=True)
        AutoModel.register(Config, Model, exist_ok=True)

    module = types.ModuleType("okedit_cli.models.mini.tower")
    module.OkeditMiniVisionConfig, module.OkeditMiniVisionModel, module.register = Config, Model, register
    module.assemble_state = lambda package, trained, llm, tokenizer: {
        **{f"eye.{name}": value for name, value in package.items()},
        **trained,
    }
    return module


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The fetched files, the trained weights and OKEDIT_HOME, all tiny; counts what is fetched."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from okedit_cli.models.mini import language

    home = tmp_path / "home"
    monkeypatch.setenv("OKEDIT_HOME", str(home))
    monkeypatch.setitem(sys.modules, "okedit_cli.models.mini.tower", _tower_module())

    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<jupyter_script>")

    def load_language_model(path):
        words = tiny.tokenizer(
            names, template=CHAT_TEMPLATE, eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token=names[0]
        )
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            tie_word_embeddings=True,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
        return LlamaForCausalLM(config), words

    monkeypatch.setattr(language, "load_language_model", load_language_model)
    package = {"weight": torch.randn(8, 3), "bias": torch.randn(8)}
    torch.save({f"_{name}": value for name, value in package.items()}, tmp_path / "pictures.pth")
    trained = {
        "tower.scale": torch.tensor([2.0]),
        "projector.linear_1.weight": torch.randn(16, 8),
        "projector.linear_1.bias": torch.randn(16),
        "projector.linear_2.weight": torch.randn(16, 16),
        "projector.linear_2.bias": torch.randn(16),
        "lm.1.q_proj.A": torch.randn(2, 16),
        "lm.1.q_proj.B": torch.randn(16, 2),
        "lm.0.down_proj.A": torch.randn(2, 32),
        "lm.0.down_proj.B": torch.randn(16, 2),
    }
    weights = tmp_path / "weights.safetensors"
    save_file(trained, weights, metadata={"vision_config": json.dumps({"patch_size": 14})})
    monkeypatch.setattr(assemble, "WEIGHTS", weights)
    files = {assemble.LANGUAGE: tmp_path / "language.gguf", assemble.PICTURES: tmp_path / "pictures.pth"}
    state = types.SimpleNamespace(home=home, trained=trained, package=package, weights=weights, fetched=[])

    def fetch(part, folder, progress=None):
        state.fetched.append(part.title)
        return files[part]

    monkeypatch.setattr(assemble, "fetch", fetch)
    state.language = load_language_model
    return state
