"""Q-Formers: query tokens that read a picture and stand before the text. BLIP-2, MiniGPT-4, InstructBLIP."""

from __future__ import annotations

from tiny import HEADS, LAYERS, WIDTH, Together, text_settings
from tiny_words import tokenizer

from families import chat

QUERIES = 4
EDGE = 28


def blip2_opt():
    """BLIP-2 with OPT, as released: tied embeddings, no chat template, pictures before the first token."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, Blip2VisionConfig

    words = _opt_words()
    config = Blip2Config(
        text_config=_opt(words),
        vision_config=Blip2VisionConfig(**_tower()),
        qformer_config=Blip2QFormerConfig(**_former(words)),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    saver = Together("Blip2Processor", _images(), words, None, num_query_tokens=QUERIES)
    return _unlike(Blip2ForConditionalGeneration(config)), saver


def minigpt4():
    """BLIP-2's class with a Llama decoder, which is MiniGPT-4's architecture; the template has its words.

    The processor puts no queries in by itself, because MiniGPT-4 has words before the picture.
    """
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, Blip2VisionConfig

    words = _llama_words()
    config = Blip2Config(
        text_config=_llama(words),
        vision_config=Blip2VisionConfig(**_tower()),
        qformer_config=Blip2QFormerConfig(**_former(words)),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    saver = Together("Blip2Processor", _images(), words, chat.MINIGPT4, num_query_tokens=None)
    return _unlike(Blip2ForConditionalGeneration(config)), saver


def instructblip():
    """InstructBLIP on Vicuna: the Q-Former reads the question too, by a tokenizer of its own."""
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipQFormerConfig,
        InstructBlipVisionConfig,
    )

    words = _llama_words()
    asked = tokenizer(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), pad_token="[PAD]", cls_token="[CLS]")
    config = InstructBlipConfig(
        text_config=_llama(words),
        vision_config=InstructBlipVisionConfig(**_tower()),
        qformer_config=InstructBlipQFormerConfig(**_former(asked)),
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    saver = Together("InstructBlipProcessor", _images(), words, None, num_query_tokens=QUERIES)
    saver.beside["qformer_tokenizer"] = asked
    return _unlike(InstructBlipForConditionalGeneration(config)), saver


def _unlike(model):
    """Query tokens that differ, and a tower whose pictures do: both start out as nothing in these classes."""
    import torch

    with torch.no_grad():
        model.query_tokens.normal_()
        for part in (model.vision_model, model.qformer):
            for weight in part.parameters():
                if weight.ndim > 1:
                    weight.normal_(std=0.2)
    return model


def _tower() -> dict:
    return {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "image_size": EDGE,
        "patch_size": 14,
    }


def _former(words) -> dict:
    return {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "cross_attention_frequency": 2,
        "encoder_hidden_size": WIDTH,
        "max_position_embeddings": 128,
    }


def _images():
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": EDGE, "width": EDGE})


def _opt_words():
    """OPT begins every text with the token that ends one."""
    return tokenizer(
        ("<s>", "<pad>", "</s>", "<image>"), bos_token="</s>", eos_token="</s>", pad_token="<pad>"
    )


def _opt(words):
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        ffn_dim=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        word_embed_proj_dim=WIDTH,
        max_position_embeddings=512,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.convert_tokens_to_ids("</s>"),
        pad_token_id=words.pad_token_id,
    )


def _llama_words():
    return tokenizer(
        ("<s>", "</s>", "<pad>", "<image>"), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def _llama(words):
    from transformers import LlamaConfig

    return LlamaConfig(**text_settings(words))
