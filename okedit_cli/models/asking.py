"""How surely a question asks what is shown, and not something else in words that are near to it.

The question encoder puts "What is this bird?" near "What do I see here?", and "What is this bird doing?" a
little farther; the topics (topics.py) go by other signs. So both are asked: small heads on the question
encoder's vectors, and the topics' opinion, as log odds. The heads count for a quarter: they know the manners
that they were taught better, and err more in those of others. Measured with an encoder and topics that were
not taught the fit split of okedit-pictures, on its rephrasings within reach: none of 328 scores below
`least()`, and 5 in a thousand would if their tail went on as it begins; of questions within reach that ask
something else 58 % of 182 do (tools/bank/train_asking.py).
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch
from torch.nn import functional as F

from okedit_cli.models.sentences import question_vectors

ASKING = Path(__file__).with_name("sentences") / "asking.safetensors"
SHARP = 8.0  # unit vectors are short for layers that begin small
NEVER = 1e-4  # no probability counts as less
HEADS = 0.25  # what the heads' log odds count beside those of the topics


def score(question: str, identity: float) -> float:
    """How surely a question asks what is shown, in log odds; `identity` is the topics' opinion."""
    heads = float(opinion(question_vectors([question]), _read()[0])[0])
    return HEADS * heads + log_odds(identity)


def opinion(vectors: torch.Tensor, heads: dict[str, torch.Tensor]) -> torch.Tensor:
    """The heads' mean log odds [n] of questions by their vectors [n, 384]: inner [h, k, 384], inner_bias
    [h, k], outer [h, k], outer_bias [h].
    """
    hidden = torch.einsum("nd,hkd->nhk", vectors * SHARP, heads["inner"]) + heads["inner_bias"]
    return (torch.einsum("nhk,hk->nh", F.gelu(hidden), heads["outer"]) + heads["outer_bias"]).mean(1)


def log_odds(probability: float) -> float:
    """ln p / (1 - p), within what NEVER allows."""
    bounded = min(max(probability, NEVER), 1 - NEVER)
    return math.log(bounded / (1 - bounded))


def least() -> float:
    """The score below which a question asks something else."""
    return float(_read()[1]["least"])


@functools.cache
def _read() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(ASKING, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata()  # noqa: SIM118
