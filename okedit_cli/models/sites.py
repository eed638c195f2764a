"""Where an edit can sit in a model: its decoder layers, their feed-forward part, and the sizes that go with
them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from okedit_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel

_FEED_FORWARD = ("mlp", "feed_forward", "ffn", "ff", "feedforward", "block_sparse_moe", "moe", "mlp_block")
_NO_FEED_FORWARD = ("attn", "attention", "norm", "ln_", "dropout", "mixer")
_LINEAR_PAIRS = (("fc1", "fc2"), ("w1", "w2"), ("up_proj", "down_proj"), ("c_fc", "c_proj"))


def text_config(model: PreTrainedModel):
    """The config of the text decoder, which for a vision-language model is a part of the whole."""
    return model.config.get_text_config(decoder=True)


def hidden_size(model: PreTrainedModel) -> int:
    """Width of the decoder's residual stream."""
    return text_config(model).hidden_size


def image_token_id(model: PreTrainedModel) -> int | None:
    """Id of the placeholder that picture features replace; None for a text-only model."""
    for name in ("image_token_id", "image_token_index"):
        value = getattr(model.config, name, None)
        if isinstance(value, int):
            return value
    return None


def family(model: PreTrainedModel) -> str:
    """The family by the part that writes placeholders: LLaVA's Pixtral checkpoints are Pixtral's."""
    vision = getattr(getattr(model.config, "vision_config", None), "model_type", "")
    return "pixtral" if vision == "pixtral" else model.config.model_type


def tokens_of_picture(loaded) -> int | None:
    """How many placeholders one picture takes, in families where all take as many; None in others."""
    config, processor = loaded.model.config, loaded.processor
    known = {
        "llava": getattr(config, "image_seq_length", None),
        "mllama": 1,
        "paligemma": getattr(processor, "image_seq_length", None),
        "blip-2": getattr(processor, "num_query_tokens", None),
        "instructblip": getattr(processor, "num_query_tokens", None),
    }
    return known.get(family(loaded.model))


def decoder(model: PreTrainedModel) -> nn.Module:
    """The module that owns the decoder layers. ModelError when no list of layers has the config's count."""
    return _find(model)[0]


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder layers, as many as the config says."""
    return _find(model)[1]


def _find(model: PreTrainedModel) -> tuple[nn.Module, nn.ModuleList]:
    count = text_config(model).num_hidden_layers
    # get_decoder() may return the decoder, a wrapper around it or the model itself, so it only says where to
    # look first: a vision tower may have as many layers as the decoder.
    named = model.get_decoder()
    for root in [module for module in (named, model) if module is not None]:
        if root is not model:
            if (first := next(_lists_of(root, count), None)) is not None:
                return first  # the outermost; deeper ones belong to a layer's inside
            continue
        found = [(owner, layers) for owner, layers in _lists_of(root, count) if not _is_vision(model, owner)]
        if len(found) == 1:
            return found[0]
    raise ModelError(
        f"{type(model).__name__}: no single list of {count} decoder layers was found.",
        hint="This family is not supported yet.",
    )


def _lists_of(root: nn.Module, count: int) -> Iterator[tuple[nn.Module, nn.ModuleList]]:
    """(owner, list) for every ModuleList of `count` layers with parameters under root, outermost first, found
    as far as they are asked for.
    """
    from torch import nn

    level, known = {root: None}, {root}  # in order, each once, where it is outermost
    while level:
        for owner in level:
            for child in owner.children():
                if not isinstance(child, nn.ModuleList) or len(child) != count:
                    continue
                if all(next(layer.parameters(), None) is not None for layer in child):
                    yield owner, child
        level = {child: None for owner in level for child in owner.children() if child not in known}
        known |= set(level)


def _is_vision(model: PreTrainedModel, module: nn.Module) -> bool:
    path = next(name for name, other in model.named_modules() if other is module)
    return any(
        word in path for word in ("vision", "visual", "image", "audio", "connector", "projector", "qformer")
    )


def picture_tower(model: PreTrainedModel) -> nn.Module | None:
    """The outermost module that is given pixels and no text; None for a model without one."""
    for _, module in model.named_modules():
        given = inspect.signature(module.forward).parameters
        if "pixel_values" in given and "input_ids" not in given:
            return module
    return None


def looks_both_ways(loaded) -> bool:
    """Whether a prompt's tokens see those behind them, and only an answer is causal (PaliGemma)."""
    return loaded.model.config.model_type == "paligemma"


def answering_layers(model: PreTrainedModel) -> list[int]:
    """The decoder layers that every prompt runs through: not those that read a picture alone (Mllama's)."""
    crossing = getattr(text_config(model), "cross_attention_layers", None) or ()
    return [number for number in range(len(decoder_layers(model))) if number not in crossing]


def picture_reader(model: PreTrainedModel) -> nn.Module | None:
    """The module whose output tells of pictures what does not stand at their placeholders, or not of the
    picture alone: where pictures enter the decoder by cross-attention (Mllama), or a Q-Former reads the
    question along (InstructBLIP). None in other families.
    """
    if getattr(text_config(model), "cross_attention_layers", None):
        return _named(model, "multi_modal_projector")
    return _named(model, "vision_model") if model.config.model_type == "instructblip" else None


def _named(model: PreTrainedModel, name: str) -> nn.Module | None:
    """The outermost module of this name."""
    return next((one for path, one in model.named_modules() if path.split(".")[-1] == name), None)


def mlp_of(layer: nn.Module) -> nn.Module:
    """The layer's feed-forward module, hidden width in and out.

    Where the layer holds the two linear maps itself (OPT's fc1 and fc2), the second: only its output is
    hidden wide.
    """
    children = dict(layer.named_children())
    for name in _FEED_FORWARD:
        if name in children:
            return children[name]
    for name, child in children.items():
        if not any(word in name.lower() for word in _NO_FEED_FORWARD) and _has_pair(child):
            return child
    for first, second in _LINEAR_PAIRS:
        if first in children and second in children:
            return children[second]
    raise ModelError(
        f"{type(layer).__name__}: no feed-forward part among {', '.join(children) or 'no modules'}.",
        hint="This family is not supported yet.",
    )


def value_input(layer: nn.Module) -> nn.Module:
    """The module whose input, hidden wide, an edit's value reads: the layer's feed-forward part.

    Where the layer holds the two linear maps itself (OPT's fc1 and fc2), the first.
    """
    part = mlp_of(layer)
    children = dict(layer.named_children())
    return next((children[first] for first, second in _LINEAR_PAIRS if children.get(second) is part), part)


def _has_pair(module: nn.Module) -> bool:
    names = {name for name, _ in module.named_children()}
    return any(first in names and second in names for first, second in _LINEAR_PAIRS)
