"""The language half of okedit-mini: SmolLM2-135M-Instruct, from its GGUF file to a plain model and a fast
tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from okedit_cli.errors import SetupError

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

# SmolLM2's own template puts a system prompt in front of every conversation ("You are ... named SmolLM"); the
# training and the edits are about the picture and the question, so ours adds one only when the caller gives
# it.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['content'] is string -%}"
    "{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{- '<image>\\n' -}}"
    "{%- elif part['type'] == 'text' -%}{{- part['text'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def load_language_model(
    gguf_path: str | Path, *, dtype: torch.dtype | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The GGUF's LlamaForCausalLM with plain weights (fp32 unless `dtype`), eval mode, and its tokenizer.

    Raises SetupError when the file is missing or not a readable GGUF of SmolLM2.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    path = Path(gguf_path)
    if not path.is_file():
        raise SetupError(f"{path}: no such GGUF file.", hint="Run `okedit setup` to fetch it again.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            # Without this the linear layers stay packed: slower here, and save_pretrained would write them
            # packed.
            quantization_config=GgufConfig(dequantize=True),
            dtype=dtype or torch.float32,
        )
    except ImportError as error:
        raise SetupError(
            f"The GGUF reader is not installed: {error}", hint="pip install gguf accelerate"
        ) from error
    except (
        Exception
    ) as error:  # the readers of GGUF files fail in many ways: struct.error, ValueError, KeyError
        raise SetupError(
            f"{path} cannot be read as a GGUF language model: {error}",
            hint="Remove the file and run `okedit setup` to fetch it again.",
        ) from error
    return _plain(model), _prepare_tokenizer(tokenizer)


def _plain(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The same model without the traces of its quantised origin, so that save_pretrained writes a plain
    checkpoint.
    """
    for owner, name in ((model, "hf_quantizer"), (model.config, "quantization_config")):
        if hasattr(owner, name):
            delattr(owner, name)
    for name in ("is_quantized", "quantization_method"):
        model.__dict__.pop(name, None)
    model.config.name_or_path = ""  # the folder it was read from: no name to load it by
    model.config.__dict__.pop("_model_name_or_path", None)  # the title inside the GGUF
    model.generation_config.do_sample = False
    return model.eval().requires_grad_(False)


def _prepare_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Our chat template, and SmolLM2's own pre-tokeniser, which the GGUF names but transformers does not
    rebuild.
    """
    from tokenizers import pre_tokenizers

    # The GGUF says pre-tokeniser "smollm": single digits, then byte level. Left as loaded, "a  1" splits
    # otherwise.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    for name, value in (("padding_side", "left"), ("model_max_length", 8192)):
        setattr(tokenizer, name, value)
        tokenizer.init_kwargs[name] = value  # what save_pretrained writes
    tokenizer.init_kwargs.pop("gguf_file", None)
    return tokenizer
