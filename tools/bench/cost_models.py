"""Random models of a real class with a real 7B's layers and tokens, and a fraction of its width.

`llava`: LLaVA-1.5-7B (32 layers 4096 wide, 576 tokens a picture). `qwen2_5_vl`: Qwen2.5-VL-7B (28 layers 3584
wide, 4 of 28 heads with keys of their own, a token for each 28 by 28 pixels). `division` divides every width:
the bytes of what a model computes are the real ones divided by it, token by token.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from okedit_cli.models.load import LoadedModel, load_model

WIDTHS = {"llava": 4096, "qwen2_5_vl": 3584}
_TESTS = Path(__file__).parents[2] / "tests"


def made(family: str, division: int, *, dtype: torch.dtype = torch.bfloat16, layers: int = 0) -> LoadedModel:
    """The family's model, its widths divided, with all of its layers or so many of its decoder's."""
    sys.path.insert(0, str(_TESTS))  # where tokenizers and templates of tiny models are made
    try:
        torch.manual_seed(0)
        model, saver = {"llava": _llava, "qwen2_5_vl": _qwen}[family](division, layers)
    finally:
        sys.path.remove(str(_TESTS))
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(10)  # or a random model says one thing to everything
    model.generation_config.max_new_tokens = None
    with tempfile.TemporaryDirectory() as folder:
        model.to(dtype).save_pretrained(folder)
        saver.save_pretrained(Path(folder))
        return load_model(folder, dtype=str(dtype).removeprefix("torch."), device="cpu")


def _llava(division: int, layers: int):
    from tiny_words import LLAVA_TEMPLATE, tokenizer
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    words = tokenizer(
        ("<s>", "</s>", "<pad>", "<image>"), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    width, heads = 4096 // division, max(2, 32 // division)
    text = LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=11008 // division,
        num_hidden_layers=layers or 32,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    seeing = CLIPVisionConfig(
        hidden_size=width // 4,
        intermediate_size=width,
        num_hidden_layers=24,
        num_attention_heads=max(2, 16 // division),
        image_size=336,
        patch_size=14,
        projection_dim=max(8, 768 // division),
    )
    config = LlavaConfig(
        text_config=text,
        vision_config=seeing,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=576,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    processor = LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return LlavaForConditionalGeneration(config), processor


def _qwen(division: int, layers: int):
    from families.qwen import _saver, _words
    from tiny_words import QWEN_TEMPLATE
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    words, codes = _words()
    inside = 128 // division  # of a head
    axes = [inside // 8, inside * 3 // 16, inside // 2 - inside // 8 - inside * 3 // 16]
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": 3584 // division,
            "intermediate_size": 18944 // division,
            "num_hidden_layers": layers or 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "head_dim": inside,
            "max_position_embeddings": 32768,
            "bos_token_id": None,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
            "rope_parameters": {"rope_type": "default", "mrope_section": axes, "rope_theta": 1e6},
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280 // division,
            "num_heads": 5,
            "intermediate_size": 3420 // division,
            "out_hidden_size": 3584 // division,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
        },
        **codes,
    )
    saver = _saver("Qwen2_5_VLProcessor", words, QWEN_TEMPLATE, 14)
    saver.images.size = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16384}
    return Qwen2_5_VLForConditionalGeneration(config), saver
