"""A model that the caller has loaded, as okedit knows models: however it was placed, quantised or adapted.

Not here: loading one (load.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models.load import KNOWN, LoadedModel
from okedit_cli.models.sites import image_token_id
from okedit_cli.models.supported import check_model

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


def wrap(model: nn.Module | LoadedModel, processor: Any = None, *, name: str | None = None) -> LoadedModel:
    """The model with its processor, or of a text-only model its tokenizer, for fit, attach and generate.

    What is attached acts in the caller's own `model.generate(**inputs)` too. The model may lie on several
    devices, be off-loaded or quantised; of one that torch.compile or peft has wrapped the model inside is
    taken. Put into eval mode it must be; its parameters are left as they are. The same model gives the same
    object as long as somebody holds it. ModelError: no model or processor that okedit can use.
    """
    if isinstance(model, LoadedModel):
        return model
    if isinstance(known := getattr(model, "loaded", None), LoadedModel):  # an EditedModel
        return known
    inner = _inside(model)
    return KNOWN.get(id(inner)) or _wrapped(inner, processor, name)


def _inside(model: Any) -> PreTrainedModel:
    """The transformers model inside what torch.compile or peft made of it."""
    from transformers import PreTrainedModel

    model = getattr(model, "_orig_mod", model)
    if not isinstance(model, PreTrainedModel) and hasattr(model, "get_base_model"):
        model = model.get_base_model()
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"{type(model).__name__} is not a transformers model.",
            hint="Give the model that from_pretrained returned.",
        )
    return model


def _wrapped(model: PreTrainedModel, processor: Any, name: str | None) -> LoadedModel:
    if processor is None:
        raise UsageError(
            "The model's processor is missing, or of a text-only model its tokenizer.",
            hint="okedit_cli.wrap(model, AutoProcessor.from_pretrained(...)).",
        )
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:
        processor, tokenizer = None, processor
    if not hasattr(tokenizer, "all_special_ids"):
        raise UsageError(
            f"{type(tokenizer).__name__} is neither a processor nor a tokenizer.",
            hint="Give what AutoProcessor or AutoTokenizer returned.",
        )
    if processor is None and image_token_id(model) is not None:
        raise UsageError(
            f"{type(model).__name__} sees pictures, and a tokenizer was given, expected its processor.",
            hint="okedit_cli.wrap(model, AutoProcessor.from_pretrained(...)).",
        )
    if model.training:
        raise UsageError(
            "The model is in training mode, where its answers change from pass to pass.",
            hint="Call model.eval() first.",
        )
    config = model.config
    name = name or getattr(config, "_name_or_path", "") or type(model).__name__
    if Path(name).is_dir():  # goes by its last part, as with load_model
        name = Path(name).resolve().name
    check_model(model, name)
    revision = getattr(config, "_commit_hash", None)
    return LoadedModel(model, processor, tokenizer, name, revision, input_device(model), model.dtype)


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Context: no parameter asks for a gradient, as if okedit had loaded the model."""
    asking = [name for name, one in model.named_parameters() if one.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        found = dict(model.named_parameters())  # what is off-loaded has other tensors after each pass
        for name in asking:
            found[name].requires_grad_(True)


def input_device(model: PreTrainedModel) -> torch.device:
    """Where a model wants its inputs: where its embeddings are, or are put when they are run."""
    import torch

    table = model.get_input_embeddings()
    place = getattr(getattr(table, "_hf_hook", None), "execution_device", None)
    return torch.device(table.weight.device if place is None else place)
