"""Encoders by hub id or folder, loaded once. Not here: what is made of their outputs (text.py, image.py)."""

from __future__ import annotations

import functools
from typing import Any

READERS = {"text": "AutoTokenizer", "image": "AutoImageProcessor"}
EXAMPLES = {"text": "BERT or XLM-R", "image": "CLIP or SigLIP"}


@functools.cache
def load_encoder(encoder: str, kind: str) -> tuple[Any, Any]:
    """(tokenizer or image processor, frozen model) of a "text" or "image" encoder. ModelError: it cannot be
    loaded.
    """
    import transformers

    from okedit_cli.errors import ModelError
    from okedit_cli.models.hub import loading

    try:
        at_hand = loading(encoder)
        reader = getattr(transformers, READERS[kind]).from_pretrained(encoder, **at_hand)
        model = transformers.AutoModel.from_pretrained(encoder, **at_hand)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The {kind} encoder {encoder!r} cannot be loaded: {str(error).splitlines()[0]}",
            hint=f"Give a hub id or a folder of an encoder such as {EXAMPLES[kind]}.",
        ) from None
    return reader, model.eval().requires_grad_(False)
