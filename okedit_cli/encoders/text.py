"""Text encoders for retrieval: one vector a text. Not here: judging a pair of texts (pair.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from okedit_cli.bounded import remembering
from okedit_cli.encoders.hub import load_encoder

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "okedit-questions"


def text_vectors(texts: Sequence[str], encoder: str = DEFAULT) -> Tensor:
    """Unit vectors [n, d] of texts, fp32, on the CPU; `encoder` is DEFAULT or a hub id or folder of an
    encoder model (mean of its last hidden state).

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
    return load_encoder(encoder, "text")[1].config.hidden_size


@remembering(50_000)
def _vector(text: str, encoder: str) -> Tensor:
    import torch
    from torch.nn import functional as F

    if encoder == DEFAULT:
        from okedit_cli.models.sentences import question_vectors

        return question_vectors([text])[0]
    tokenizer, model = load_encoder(encoder, "text")
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state[0].float()
    return F.normalize(states.mean(0), dim=0)
