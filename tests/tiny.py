"""Tiny random models with real tokenizers and processors, saved to a folder, the same for the same seed.

`build(family, folder, seed=0)` writes a checkpoint that `load_model(folder)` opens offline: 4 layers, 32
wide, a byte-level BPE trained here, a chat template in the family's style (none for gpt2), Pillow image
processors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tiny_words import IDEFICS_TEMPLATE, LLAMA_TEMPLATE, LLAVA_TEMPLATE, QWEN_TEMPLATE, tokenizer

LAYERS, WIDTH, HEADS = 4, 32, 4
# smolvlm can be built too; its processor wants the package num2words, which only videos need
FAMILIES = ("llava", "qwen2_vl", "idefics3", "gpt2", "llama")
VISION_FAMILIES = ("llava", "qwen2_vl", "idefics3")
TEXT_FAMILIES = ("gpt2", "llama")


def build(family: str, folder: str | Path, seed: int = 0) -> Path:
    """Write the family's tiny checkpoint (weights, config, tokenizer, processor) into `folder`."""
    import torch

    folder = Path(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, saver = _builder(family)()
    with torch.no_grad():
        _widen(model)
    model.generation_config.max_new_tokens = None
    model.save_pretrained(folder)
    saver.save_pretrained(folder)
    return folder


def _widen(model) -> None:
    """Random logits are nearly flat at the default scale of 0.02: a wider head makes greedy answers tell
    models apart. Where it is tied to the embeddings, the norm before it is scaled, and what layers add, or
    each token would repeat itself.
    """
    head = model.get_output_embeddings().weight
    if head is not model.get_input_embeddings().weight:
        head.mul_(10)
        return
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "fc2.weight")):
            weight.mul_(10)
    outer = [part for name, part in model.named_modules() if "layers." not in name]
    # the decoder is made last
    last = [part for part in outer if type(part).__name__.endswith(("RMSNorm", "LayerNorm"))][-1]
    if "Gemma" in type(last).__name__:  # its weight counts from one
        last.weight.add_(1).mul_(10).sub_(1)
    else:
        last.weight.mul_(10)


def _builder(family: str) -> Callable:
    """Of the families built here, else of those in `families`."""
    import families

    return _BUILDERS.get(family) or families.builder(family)


def picture(colour: str = "red", size: tuple[int, int] = (40, 32)):
    """A picture of one colour with a white corner, so that flips and crops change it."""
    from PIL import Image

    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0] // 3, size[1] // 3))
    return image


def pictures(folder: Path) -> Path:
    """red.png, green.png and blue.png, put into a folder, which is returned."""
    for colour in ("red", "green", "blue"):
        picture(colour).save(folder / f"{colour}.png")
    return folder


def _llava():
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
    size = {"height": 28, "width": 28}
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size)
    config = LlavaConfig(
        text_config=LlamaConfig(**text_settings(words), num_key_value_heads=2),
        vision_config=CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            image_size=28,
            patch_size=14,
            projection_dim=WIDTH,
        ),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return LlavaForConditionalGeneration(config), processor


def _qwen2_vl():
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

    special = (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    words = tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    code = {
        name: words.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    config = Qwen2VLConfig(
        text_config={
            **text_settings(words),
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2,
            "embed_dim": WIDTH,
            "hidden_size": WIDTH,
            "num_heads": HEADS,
            "mlp_ratio": 2,
        },
        image_token_id=code["image_pad"],
        video_token_id=code["video_pad"],
        vision_start_token_id=code["vision_start"],
        vision_end_token_id=code["vision_end"],
    )
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    return Qwen2VLForConditionalGeneration(config), Together("Qwen2VLProcessor", images, words, QWEN_TEMPLATE)


def _tiles():
    """Tokenizer and model config of Idefics3 and SmolVLM, which cut a picture into tiles of 28 px."""
    from transformers import LlamaConfig

    grid = tuple(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))
    special = ("<|im_start|>", "<end_of_utterance>", "<pad>", "<image>", "<fake_token_around_image>")
    words = tokenizer(
        (*special, "<global-img>", "<video>", *grid), eos_token="<end_of_utterance>", pad_token="<pad>"
    )
    vision = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "patch_size": 7}
    return words, {
        "text_config": LlamaConfig(**text_settings(words), num_key_value_heads=2),
        "vision_config": {**vision, "num_attention_heads": HEADS, "image_size": 28},
        "image_token_id": words.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "pad_token_id": words.pad_token_id,
        "tie_word_embeddings": False,
    }


_TILED = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}


def _idefics3():
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    words, config = _tiles()
    images = Idefics3ImageProcessorPil(**_TILED)
    processor = Idefics3Processor(images, words, image_seq_len=4, chat_template=IDEFICS_TEMPLATE)
    return Idefics3ForConditionalGeneration(Idefics3Config(**config)), processor


def _smolvlm():
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil

    words, config = _tiles()
    saver = Together(
        "SmolVLMProcessor", SmolVLMImageProcessorPil(**_TILED), words, IDEFICS_TEMPLATE, image_seq_len=4
    )
    return SmolVLMForConditionalGeneration(SmolVLMConfig(**config)), saver


def _gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    words = tokenizer(("<|endoftext|>",), eos_token="<|endoftext|>")
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=256,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=words.eos_token_id,
        eos_token_id=words.eos_token_id,
        tie_word_embeddings=False,
    )
    return GPT2LMHeadModel(config), words


def _llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    special = ("<s>", "<|eot_id|>", "<pad>", "<|start_header_id|>", "<|end_header_id|>")
    words = tokenizer(
        special, template=LLAMA_TEMPLATE, bos_token="<s>", eos_token="<|eot_id|>", pad_token="<pad>"
    )
    return LlamaForCausalLM(LlamaConfig(**text_settings(words), num_key_value_heads=2)), words


def text_settings(words) -> dict:
    """What every text config here has in common: sizes and the tokenizer's ids."""
    return {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }


class Together:
    """Saves an image processor and a tokenizer under a processor class that cannot be built here.

    Qwen2-VL's processor wants a video processor, which needs torchvision; checkpoints on the hub carry the
    same files.
    """

    def __init__(self, processor_class: str, images, words, template: str | None, **settings):
        self.settings = {"processor_class": processor_class, **settings}
        self.beside: dict[str, object] = {}  # further tokenizers by the folder that they are kept in
        self.images, self.words, self.template = images, words, template

    def save_pretrained(self, folder: Path) -> None:
        self.words.chat_template = self.template
        self.words.save_pretrained(folder)
        for name, other in self.beside.items():
            other.save_pretrained(folder / name)
        for name, content in (("preprocessor", self.images.to_dict()), ("processor", {})):
            text = json.dumps({**content, **self.settings})
            (folder / f"{name}_config.json").write_text(text, encoding="utf-8")


_BUILDERS: dict[str, Callable] = {
    "llava": _llava,
    "qwen2_vl": _qwen2_vl,
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "gpt2": _gpt2,
    "llama": _llama,
}
