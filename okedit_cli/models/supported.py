"""Which models okedit can edit, told in one sentence before anything is computed: decoders that speak.

Not here: what families differ in (sites.py, spans.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError
from okedit_cli.models.entries import speaker
from okedit_cli.models.sites import answering_layers, decoder_layers, mlp_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OPENS = "okedit edits models that transformers opens as image-text-to-text or text-generation."


def auto_class(config: Any, shown: str) -> Any:
    """The auto class for a config: with pictures where the family has them, else plain text. ModelError for
    one that okedit cannot edit.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    check_config(config, shown)
    own = getattr(config, "auto_map", None) or {}  # what is in the checkpoint's own code
    for auto in (AutoModelForImageTextToText, AutoModelForCausalLM):
        if type(config) in auto._model_mapping or auto.__name__ in own:
            return auto
    raise ModelError(
        f"{shown}: models of type {config.model_type!r} neither answer about pictures nor generate text.",
        hint=_OPENS,
    )


def check_config(config: Any, shown: str) -> None:
    """ModelError for an encoder with a decoder, also as the language model inside, and for a model of
    sounds.
    """
    text = config.get_text_config(decoder=True)
    if getattr(config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False):
        raise ModelError(
            f"{shown}: its language model ({text.model_type}) is an encoder with a decoder, and okedit edits"
            " models that are a decoder alone.",
            hint="Use a checkpoint with a decoder, such as BLIP-2 with OPT in place of T5.",
        )
    sound = getattr(config, "audio_config", None) is not None
    if sound and getattr(config, "vision_config", None) is None:
        raise ModelError(
            f"{shown}: models of type {config.model_type!r} listen to sounds, which okedit does not edit.",
            hint=_OPENS,
        )


def check_model(model: PreTrainedModel, shown: str) -> None:
    """ModelError for a model that does not generate, or in which no decoder layers are found that an edit can
    sit in.
    """
    check_config(model.config, shown)
    kind = type(model).__name__
    if not model.can_generate() or model.get_output_embeddings() is None:
        raise ModelError(
            f"{shown}: {kind} does not generate text.",
            hint="Open it with AutoModelForImageTextToText or AutoModelForCausalLM.",
        )
    layers = decoder_layers(speaker(model))
    mlp_of(layers[answering_layers(model)[0]])
