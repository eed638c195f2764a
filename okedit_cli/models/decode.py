"""Greedy generation, the same for an answer and for what the unedited model would say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import end_ids

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


@torch.no_grad()
def greedy(
    loaded: LoadedModel, inputs: Mapping[str, torch.Tensor], count: int, **options: Any
) -> torch.Tensor:
    """Up to `count` ids behind each prompt [B, <= count]; rows that end early are filled up with the end."""
    # generate() counts positions itself, and goes on counting; encode's are for plain forward passes
    inputs = {key: value for key, value in inputs.items() if key != "position_ids"}
    ends = end_ids(loaded)
    if ends:
        options = {"eos_token_id": ends, "pad_token_id": ends[0], **options}
    out = loaded.model.generate(**inputs, max_new_tokens=count, do_sample=False, num_beams=1, **options)
    return out[:, inputs["input_ids"].shape[1] :]
