"""Text encoders for retrieval: one vector a text. Not here: judging a pair of texts (pair.py)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "okedit-questions"


def text_vectors(texts: Sequence[str], encoder: str = DEFAULT) -> Tensor:
    """Unit vectors [n, d] of texts, fp32, on the CPU; `encoder` is DEFAULT or a hub id or folder of an
    encoder model.

    Each text is read by itself. ModelError: the encoder cannot be loaded.
    """
    import torch

    rows = [_vector(text, encoder) for text in texts]
    return torch.stack(rows) if rows else torch.zeros(0, width_of(encoder))


def width_of(encoder: str = DEFAULT) -> int:
    """Numbers of a vector."""
    if encoder == DEFAULT:
        from okedit_cli.models.sentences import WIDTH

        return WIDTH
    return _loaded(encoder)[1].config.hidden_size


@functools.lru_cache(maxsize=50_000)
def _vector(text: str, encoder: str) -> Tensor:
    import torch
    from torch.nn import functional as F

    if encoder == DEFAULT:
        from okedit_cli.models.sentences import question_vectors

        return question_vectors([text])[0]
    tokenizer, model = _loaded(encoder)
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state[0].float()
    return F.normalize(states.mean(0), dim=0)


@functools.cache
def _loaded(encoder: str):
    """(tokenizer, model) of an encoder by hub id or folder: mean of the last hidden state, as sentence
    encoders have it.
    """
    from transformers import AutoModel, AutoTokenizer

    from okedit_cli.errors import ModelError

    try:
        tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The text encoder {encoder!r} cannot be loaded: {str(error).splitlines()[0]}",
            hint="Give a hub id or a folder of an encoder such as BERT or XLM-R.",
        ) from None
    return tokenizer, model.eval().requires_grad_(False)
