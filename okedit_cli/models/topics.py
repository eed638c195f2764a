"""What a question about a picture is about: what is shown, what follows from that, or anything else.

"What is this?" asks what is shown, "Can one eat it?" what follows from it; "Which colour is it?", "Who owns
it?" and "What is the capital of Peru?" ask neither. A linear layer on the sentence encoder, with low-rank
changes of its own (topics.safetensors, 0.7 MB), taught on hand-written questions. Of those held back 92 % of
what bears on the thing shown is told, and 88 % of the rest; where it must be sure (a probability of 0.95), 78
and 96 % (tools/bank/train_topics.py, seed 0, three epochs), of questions for the kind of a thing 99 %.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from okedit_cli.models.sentences import TOPICS, topic_vectors


class Topic(NamedTuple):
    """Probabilities that a question asks what is shown, what follows from that, or anything else."""

    identity: float
    bearing: float
    other: float


@functools.cache
def _layer():
    """(weight [3, 384], bias [3]) of the linear layer."""
    from safetensors.torch import load_file

    found = load_file(TOPICS)
    return found["weight"].float(), found["bias"].float()


def topic_of(question: str) -> Topic:
    """What a question is about."""
    weight, bias = _layer()
    return Topic(*(topic_vectors([question])[0] @ weight.T + bias).softmax(-1).tolist())
