"""What identifies a base model by content: sizes, a sample of its weights, its tokenizer, template and image
processor.

The same checkpoint gives the same fingerprint under another folder name, on another device, and opened in
fp32 or bf16.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from okedit_cli.models.prompts import chat_template
from okedit_cli.models.sites import decoder_layers, hidden_size

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from okedit_cli.models.load import LoadedModel

SAMPLES = 256  # values of a tensor that are looked at; a fine-tuned model differs in almost every one of them
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: its multiples spread evenly, and not in step with rows

# What a tokenizer does, in one line: letters, digits, spaces, case, accents, other scripts, an emoji, code.
_PROBE = (
    "  The cat's name is Miso: 1234 + 5.60 =\n\tÀ l'été, naïve STRAßE — Москва 東京 مرحبا 🐈 {x_1[0]}<br/>  "
)

# Keys of an image processor's config that say where it came from and not what it does.
_PROVENANCE = (
    "processor_class",
    "image_processor_type",
    "feature_extractor_type",
    "_processor_class",
    "device",
    "auto_map",
    "return_tensors",
    "data_format",
    "input_data_format",
    "disable_grouping",
)


def fingerprint(loaded: LoadedModel) -> dict[str, Any]:
    """A JSON-able description; hashes are sha256 in hex, None where there is no such part. Computed once a
    model.
    """
    if "fingerprint" not in loaded.cache:
        images = getattr(loaded.processor, "image_processor", None)
        template = chat_template(loaded)
        loaded.cache["fingerprint"] = {
            "name": loaded.name,
            "revision": loaded.revision,
            "architecture": type(loaded.model).__name__,
            "hidden_size": hidden_size(loaded.model),
            "layers": len(decoder_layers(loaded.model)),
            "vocab_size": loaded.model.get_input_embeddings().weight.shape[0],
            "form": form_of(loaded.model),
            "weights": weights_hash(loaded.model),
            "tokenizer": tokenizer_hash(loaded.tokenizer),
            "chat_template": None if template is None else _sha256(_json(template)),
            "image_processor_class": None if images is None else type(images).__name__,
            "image_processor": None if images is None else image_processor_hash(images),
            "dtype": str(loaded.dtype).removeprefix("torch."),
        }
    return dict(loaded.cache["fingerprint"])


def form_of(model: nn.Module) -> str:
    """How the weights are kept: plain, quantised by what, with adapters beside them. Both make another model
    of one checkpoint.
    """
    told = getattr(getattr(model, "config", None), "quantization_config", None)
    told = told if isinstance(told, Mapping) or told is None else told.to_dict()
    parts = []
    if told is not None:
        method = told.get("quant_method", "an unknown method")
        bits = next((f" {n}-bit" for n in (4, 8) if told.get(f"load_in_{n}bit")), "")
        parts.append(f"quantised by {getattr(method, 'value', method)}{bits}")
    if any(hasattr(module, "base_layer") and hasattr(module, "lora_A") for module in model.modules()):
        parts.append("with LoRA adapters")
    return ", ".join(parts) or "plain"


def weights_hash(model: nn.Module) -> str:
    """Hash of the shape and up to SAMPLES values of every stored tensor, whatever the tensors are called.

    Values are rounded to bf16 first: an fp32 checkpoint opened as bf16 was rounded the same way, and an fp16
    or bf16 one opened as fp32 still holds what it held. (An fp32 checkpoint forced to fp16 was rounded twice
    and differs.)
    """
    import torch

    found = (tensor for tensor in _stored(model) if isinstance(tensor, torch.Tensor))
    # tied weights stand in the state dict under each of their names, and count once
    tensors = list({(tensor.data_ptr(), tensor.shape, tensor.stride()): tensor for tensor in found}.values())
    digests = []
    for tensor, values in zip(tensors, _samples(tensors), strict=True):
        shape = ",".join(map(str, tensor.shape))
        digests.append(_sha256(shape.encode() + b"|" + values))
    return _sha256("".join(sorted(digests)).encode())


def _stored(model: nn.Module) -> Iterator[Tensor]:
    """Every stored tensor, those that accelerate keeps elsewhere (off-loaded to memory or disk) as well."""
    away: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        hook = getattr(module, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            kept = getattr(one, "weights_map", None)
            if kept is not None:
                for name, value in (
                    *module.named_parameters(recurse=False),
                    *module.named_buffers(recurse=False),
                ):
                    if value.device.type == "meta" and name in kept:
                        away[f"{path}.{name}" if path else name] = kept[name]
    for name, tensor in model.state_dict().items():
        tensor = away.get(name, tensor)
        # bitsandbytes keeps scales of 4 bits in another shape on a CPU once they have been used
        yield tensor.reshape(-1) if name.endswith(".absmax") else tensor


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the vocabulary, the special tokens and how a fixed text is split.

    Not of the tokenizer's file: it also holds the padding of the last call, and other fields in other
    versions.
    """
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    probes = [tokenizer(_PROBE, add_special_tokens=flag)["input_ids"] for flag in (False, True)]
    return _sha256(_json([vocabulary, special, probes]))


def image_processor_hash(processor) -> str:
    """Hash of the settings that say what happens to a picture. Settings that are not set do not count."""
    settings = {
        key: value
        for key, value in processor.to_dict().items()
        if key not in _PROVENANCE and value is not None
    }
    return _sha256(_json(settings))


def _samples(tensors: list[Tensor]) -> list[bytes]:
    """The sampled values of each tensor as bytes. They leave a GPU in one copy a device, not one a tensor."""
    import torch

    picked: dict[torch.device, list[tuple[int, Tensor]]] = {}
    out = [b""] * len(tensors)
    places: dict[int, Tensor] = {}
    for number, tensor in enumerate(tensors):
        count = tensor.numel()
        if count not in places:
            places[count] = torch.tensor(_positions(count), dtype=torch.int64)
        values = tensor.detach().reshape(-1)[places[count].to(tensor.device)]
        if values.is_floating_point():
            picked.setdefault(values.device, []).append((number, values.to(torch.bfloat16).float()))
        else:
            out[number] = values.cpu().numpy().tobytes()
    for group in picked.values():
        flat = torch.cat([values for _, values in group]).cpu()
        for (number, _), values in zip(group, flat.split([len(values) for _, values in group]), strict=True):
            out[number] = values.numpy().astype("<f4").tobytes()
    return out


def _positions(count: int) -> list[int]:
    """SAMPLES places in a tensor of `count` values, or all: fixed, and spread over rows and columns."""
    if count <= SAMPLES:
        return list(range(count))
    return [((i * _GOLDEN) % 2**64) * count >> 64 for i in range(SAMPLES)]


def _json(value: Any) -> bytes:
    return json.dumps(
        value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_plain
    ).encode()


def _plain(value: Any):
    """Numbers that are not Python's own, and enums, as what they stand for."""
    for convert in (lambda: dict(value), lambda: value.tolist(), lambda: value.value):
        try:
            return convert()
        except (AttributeError, TypeError, ValueError):
            continue
    return str(value)


def _sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
