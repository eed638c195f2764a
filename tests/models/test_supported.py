"""What okedit cannot edit is refused in one sentence, by load_model and by wrap."""

from __future__ import annotations

import pytest
from families import check

import okedit_cli
from okedit_cli.errors import ModelError

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def _t5():
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(_t5_config(T5Config))


def _t5_config(kind):
    return kind(vocab_size=400, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)


def _blip2_t5():
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        T5Config,
    )

    return Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=Blip2VisionConfig(**SIZES, image_size=28, patch_size=14),
            qformer_config=Blip2QFormerConfig(**SIZES, encoder_hidden_size=32, vocab_size=400),
            text_config=_t5_config(T5Config),
            num_query_tokens=4,
            image_token_index=5,
        )
    )


def _sounds():
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    heard = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    return Qwen2AudioForConditionalGeneration(
        Qwen2AudioConfig(
            audio_config={"model_type": "qwen2_audio_encoder", **heard},
            text_config={"model_type": "qwen2", "vocab_size": 400, "num_key_value_heads": 4, **SIZES},
            audio_token_index=5,
        )
    )


def _whisper():
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes = {f"{part}_{what}": n for part in ("encoder", "decoder")
             for what, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    quiet = {"suppress_tokens": None, "begin_suppress_tokens": None}
    return WhisperForConditionalGeneration(
        WhisperConfig(vocab_size=400, d_model=32, **sizes, **tokens, **quiet)
    )


def _bert():
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=400, **SIZES))


def _headless():
    from transformers import AutoModel

    return AutoModel.from_pretrained(str(check.folder("llama")))


def _mamba():
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, state_size=4))


REFUSED = {
    _t5: "is an encoder with a decoder",
    _blip2_t5: r"\(t5\) is an encoder with a decoder",
    _whisper: "is an encoder with a decoder",
    _sounds: "listen to sounds",
    _bert: "BertForMaskedLM does not generate text",
    _headless: "LlamaModel does not generate text",
    _mamba: "no feed-forward part",
}


def one_sentence(error: ModelError) -> bool:
    return "\n" not in error.message and error.message.endswith(".") and bool(error.hint)


@pytest.mark.parametrize("build", REFUSED)
def test_wrap_refuses(build):
    words = okedit_cli.load_model(str(check.folder("llava"))).processor
    if build is not _blip2_t5:
        words = words.tokenizer
    with pytest.raises(ModelError, match=REFUSED[build]) as caught:
        okedit_cli.wrap(build().eval(), words)
    assert one_sentence(caught.value)


@pytest.mark.parametrize("build", [_t5, _blip2_t5, _whisper, _sounds, _mamba])
def test_load_model_refuses(build, tmp_path):
    """But for Mamba before the weights are read."""
    folder = tmp_path / "model"
    build().save_pretrained(folder)
    processor = okedit_cli.load_model(str(check.folder("llava"))).processor
    (processor if build is _blip2_t5 else processor.tokenizer).save_pretrained(folder)
    if build is not _mamba:
        (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=REFUSED[build]) as caught:
        okedit_cli.load_model(str(folder))
    assert one_sentence(caught.value)
