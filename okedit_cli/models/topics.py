"""What a question about a picture is about: what is shown, what follows from that, or anything else.

"What is this?" asks what is shown, "Can one eat it?" what follows from it; "Which colour is it?", "Who owns
it?" and "What is the capital of Peru?" ask neither. Two linear layers, each on a sentence encoder with
low-rank changes of its own (0.7 MB), taught on hand-written questions from other beginnings; their mean is
less sure where one of them errs. Of questions held back each tells 91 % of what bears on the thing shown, and
89 % of the rest (tools/bank/train_topics.py --fit, seeds 0 and 1, three epochs).
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
def _layer(number: int):
    """(weight [3, 384], bias [3]) of a linear layer."""
    from safetensors.torch import load_file

    found = load_file(TOPICS[number])
    return found["weight"].float(), found["bias"].float()


def topic_of(question: str) -> Topic:
    """What a question is about."""
    found = []
    for number in range(len(TOPICS)):
        weight, bias = _layer(number)
        found.append((topic_vectors([question], number)[0] @ weight.T + bias).softmax(-1))
    return Topic(*(sum(found) / len(found)).tolist())
