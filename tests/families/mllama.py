"""Llama 3.2 Vision: a picture never enters the sequence, some layers look at it by cross-attention."""

from __future__ import annotations

from tiny import HEADS, WIDTH, Together, text_settings
from tiny_words import tokenizer

from families import chat

EDGE = 28


def mllama():
    """Five layers, the second and the fourth of cross-attention; a vocabulary whose last id, the picture's,
    has an embedding and no logit, as released.
    """
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessorPil,
        MllamaTextConfig,
        MllamaVisionConfig,
    )

    special = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|eot_id|>",
        "<|pad|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|python_tag|>",
    )
    words = tokenizer(special, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|pad|>")
    rows = len(words)
    words.add_special_tokens({"extra_special_tokens": ["<|image|>"]})
    text = {**text_settings(words), "vocab_size": rows, "num_hidden_layers": 5}
    config = MllamaConfig(
        text_config=MllamaTextConfig(**text, num_key_value_heads=2, cross_attention_layers=[1, 3]),
        vision_config=MllamaVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_global_layers=1,
            attention_heads=HEADS,
            vision_output_dim=3 * WIDTH,
            image_size=EDGE,
            patch_size=14,
            intermediate_layers_indices=[0, 1],
        ),
        image_token_index=words.convert_tokens_to_ids("<|image|>"),
    )
    model = MllamaForConditionalGeneration(config)
    _open_gates(model)
    images = MllamaImageProcessorPil(size={"height": EDGE, "width": EDGE}, max_image_tiles=4)
    return model, Together("MllamaProcessor", images, words, chat.MLLAMA)


def _open_gates(model) -> None:
    """Gates of cross-attention begin shut: a picture would change nothing."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gate" in name and weight.ndim <= 1:
                weight.fill_(1.0)
