"""Gemma decoders with SigLIP before them: PaliGemma 2 and Gemma 3."""

from __future__ import annotations

from tiny import HEADS, LAYERS, WIDTH, Together, text_settings
from tiny_words import tokenizer

from families import chat

EDGE, PATCH = 28, 7


def paligemma():
    """PaliGemma 2: Gemma 2 with norms behind both halves of a layer, the whole prompt seen both ways, no chat
    template.
    """
    from transformers import (
        Gemma2Config,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        SiglipImageProcessorPil,
    )

    words = tokenizer(("<pad>", "<eos>", "<bos>", "<image>"), eos_token="<eos>", pad_token="<pad>")
    words.bos_token = "<bos>"  # the processor puts it between picture and question
    config = PaliGemmaConfig(
        text_config=Gemma2Config(
            **{**_gemma(words), "vocab_size": len(words) + 1152},  # the processor adds places and segments
            sliding_window=32,
            query_pre_attn_scalar=8,
            final_logit_softcapping=30.0,
            attn_logit_softcapping=50.0,
        ),
        vision_config=_siglip(14),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        vocab_size=len(words) + 1152,
    )
    images = SiglipImageProcessorPil(size={"height": EDGE, "width": EDGE})
    images.image_seq_length = (EDGE // 14) ** 2
    return PaliGemmaForConditionalGeneration(config), Together("PaliGemmaProcessor", images, words, None)


def gemma3():
    """Gemma 3 of 4B: norms behind both halves, of queries and keys; sliding layers, one of them global; a
    picture's tokens see each other.
    """
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3TextConfig,
    )

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    words = tokenizer(
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", *named.values()),
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens=named,
    )
    ends = [words.eos_token_id, words.convert_tokens_to_ids("<end_of_turn>")]
    text = Gemma3TextConfig(
        **{**_gemma(words), "eos_token_id": ends},
        sliding_window=32,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        },
    )
    config = Gemma3Config(
        text_config=text,
        vision_config=_siglip(PATCH),
        mm_tokens_per_image=4,
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
        eos_token_id=ends,
    )
    images = Gemma3ImageProcessorPil(size={"height": EDGE, "width": EDGE})
    saver = Together("Gemma3Processor", images, words, chat.GEMMA3, image_seq_length=4)
    model = Gemma3ForConditionalGeneration(config)
    # a new projector is all zeros: every picture would be the same
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_(std=0.2)
    return model, saver


def _gemma(words) -> dict:
    """Heads of another width than the model's, and embeddings that are tied, as all released ones are."""
    return {
        **text_settings(words),
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "tie_word_embeddings": True,
    }


def _siglip(patch: int):
    from transformers import SiglipVisionConfig

    return SiglipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=EDGE,
        patch_size=patch,
        vision_use_head=False,
    )
