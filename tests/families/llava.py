"""Decoders with another model's picture tower before them: LLaVA-NeXT, LLaVA-OneVision, Pixtral, Mistral 3.

Pictures are tiled (LLaVA-NeXT and OneVision, by a grid that holds the released one's shapes) or keep their
own proportions (Pixtral's tower).
"""

from __future__ import annotations

from tiny import HEADS, LAYERS, WIDTH, Together, text_settings
from tiny_words import tokenizer

from families import chat

EDGE, PATCH = 16, 8  # of a tile in pixels: four tokens a tile
GRID = [[EDGE, 2 * EDGE], [2 * EDGE, EDGE], [2 * EDGE, 2 * EDGE], [3 * EDGE, EDGE], [EDGE, 3 * EDGE]]
SIZES = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": HEADS}


def llava_next_mistral():
    """LLaVA 1.6 on Mistral 7B Instruct v0.2, whose attention does not slide; four tiles and an overview."""
    from transformers import MistralConfig

    words = _llama_words()
    text = MistralConfig(**text_settings(words), num_key_value_heads=2, sliding_window=None)
    return _next(words, text, chat.LLAVA_NEXT_MISTRAL)


def llava_next_vicuna():
    """LLaVA 1.6 on Vicuna."""
    from transformers import LlamaConfig

    words = _llama_words()
    return _next(words, LlamaConfig(**text_settings(words)), chat.LLAVA_NEXT_VICUNA)


def llava_onevision():
    """LLaVA-OneVision: SigLIP, Qwen2, tiles that are pooled down to a maximal number."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessorPil,
        Qwen2Config,
        SiglipVisionConfig,
    )

    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
    words = tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(
            **{**text_settings(words), "tie_word_embeddings": True}, num_key_value_heads=2
        ),
        vision_config=SiglipVisionConfig(
            **SIZES, num_hidden_layers=2, image_size=EDGE, patch_size=PATCH, vision_use_head=False
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=GRID,
        tie_word_embeddings=True,
    )
    images = LlavaOnevisionImageProcessorPil(size={"height": EDGE, "width": EDGE}, image_grid_pinpoints=GRID)
    saver = Together(
        "LlavaOnevisionProcessor",
        images,
        words,
        chat.LLAVA_ONEVISION,
        num_image_tokens=(EDGE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    return LlavaOnevisionForConditionalGeneration(config), saver


def pixtral():
    """Pixtral 12B as LLaVA with Pixtral's tower: rows of picture tokens with a break behind each."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    words = _mistral_words()
    config = LlavaConfig(
        text_config=MistralConfig(**_mistral(words), sliding_window=None),
        vision_config=_pixtral_tower(),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=1,
    )
    return LlavaForConditionalGeneration(config), _pixtral_saver(words, chat.PIXTRAL, PATCH, 1)


def mistral3():
    """Mistral Small 3.1: Pixtral's tower, patches merged in fours."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig

    words = _mistral_words()
    config = Mistral3Config(
        text_config=MistralConfig(**_mistral(words), sliding_window=None),
        vision_config=_pixtral_tower(),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    return Mistral3ForConditionalGeneration(config), _pixtral_saver(words, chat.MISTRAL3, PATCH, 2)


def _next(words, text, template: str):
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessorPil,
        LlavaNextProcessor,
    )

    config = LlavaNextConfig(
        text_config=text,
        vision_config=CLIPVisionConfig(
            **SIZES, num_hidden_layers=LAYERS, image_size=EDGE, patch_size=PATCH, projection_dim=WIDTH
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=GRID,
    )
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE}, image_grid_pinpoints=GRID
    )
    processor = LlavaNextProcessor(
        images,
        words,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return LlavaNextForConditionalGeneration(config), processor


def _llama_words():
    return tokenizer(
        ("<s>", "</s>", "<pad>", "<image>"), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def _mistral_words():
    special = ("<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
    return tokenizer(
        (*special, "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )


def _mistral(words) -> dict:
    return {**text_settings(words), "num_key_value_heads": 2, "head_dim": 16}


def _pixtral_tower():
    from transformers import PixtralVisionConfig

    return PixtralVisionConfig(**SIZES, num_hidden_layers=2, image_size=64, patch_size=PATCH, head_dim=8)


def _pixtral_saver(words, template: str, patch: int, merge: int) -> Together:
    from transformers import PixtralImageProcessorPil

    edge = patch * merge
    images = PixtralImageProcessorPil(
        size={"longest_edge": 3 * edge}, patch_size={"height": patch, "width": patch}
    )
    return Together(
        "PixtralProcessor",
        images,
        words,
        template,
        patch_size=patch,
        spatial_merge_size=merge,
        image_token="[IMG]",
        image_break_token="[IMG_BREAK]",
        image_end_token="[IMG_END]",
    )
