"""Qwen's vision-language models after the second, and InternVL, which has a Qwen decoder."""

from __future__ import annotations

from tiny import HEADS, WIDTH, Together, text_settings
from tiny_words import QWEN_TEMPLATE, tokenizer

from families import chat

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def qwen2_5_vl():
    """Qwen2.5-VL: windowed attention in the tower, rotary positions of three axes in the decoder."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    words, codes = _words()
    config = Qwen2_5_VLConfig(
        text_config={
            **text_settings(words),
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
        },
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "num_heads": HEADS,
            "intermediate_size": 64,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **codes,
    )
    return Qwen2_5_VLForConditionalGeneration(config), _saver("Qwen2_5_VLProcessor", words, QWEN_TEMPLATE, 14)


def qwen3_vl():
    """Qwen3-VL: norms of queries and keys, interleaved positions, picture states added in first layers."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    words, codes = _words()
    config = Qwen3VLConfig(
        text_config={
            **text_settings(words),
            "num_key_value_heads": 2,
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
                "rope_theta": 5e6,
            },
        },
        vision_config={
            "depth": 4,
            "hidden_size": WIDTH,
            "num_heads": HEADS,
            "intermediate_size": 64,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        **codes,
    )
    return Qwen3VLForConditionalGeneration(config), _saver("Qwen3VLProcessor", words, chat.QWEN3_VL, 16)


def internvl():
    """InternVL 3 as transformers has it: tiles and an overview, a fourth of the tower's tokens, Qwen2."""
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        Qwen2Config,
    )

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=named,
    )
    config = InternVLConfig(
        text_config=Qwen2Config(**text_settings(words), num_key_value_heads=2),
        vision_config=InternVLVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            image_size=(28, 28),
            patch_size=(7, 7),
        ),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    images = GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=2
    )
    saver = Together("InternVLProcessor", images, words, chat.INTERNVL, image_seq_length=4)
    return InternVLForConditionalGeneration(config), saver


def _words():
    """The tokenizer, and what the config has to know of it."""
    words = tokenizer(_SPECIAL, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    names = {
        "image_token_id": "image_pad",
        "video_token_id": "video_pad",
        "vision_start_token_id": "vision_start",
        "vision_end_token_id": "vision_end",
    }
    return words, {key: words.convert_tokens_to_ids(f"<|{name}|>") for key, name in names.items()}


def _saver(processor_class: str, words, template: str, patch: int) -> Together:
    from transformers import Qwen2VLImageProcessorPil

    side = 2 * patch  # of what one token shows
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * side**2, "longest_edge": 9 * side**2}, patch_size=patch, merge_size=2
    )
    return Together(processor_class, images, words, template)
