"""Teach how surely a question asks what is shown, beside the topics (okedit_cli/models/asking.py):

    python tools/bank/train_asking.py OUT --fit FIT.json --apart ENCODER TOPICS TOPICS

Small heads on the question encoder's vectors are taught what the encoder and the topics are taught. How low a
question has to score to be taken for another one must be said of manners that nobody was taught: so heads are
taught a second time, on what train_questions.py and train_topics.py (two seeds) make without the fit split,
and the score is set that FALSE of the fit split's rephrasings would fall short of, of those within reach of
their own edits, if their tail went on as its LOWEST part begins. Printed is how many of the other questions
do that encoder and topics hold back, within reach of any edit.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from train_questions import (
    bank_groups,
    fit_groups,
    held_back,
    knowledge_groups,
    picture_groups,
    picture_wordings,
)
from train_topics import IDENTITY, parted

from okedit_cli.models import asking
from okedit_cli.models.asking import SHARP, log_odds, opinion
from okedit_cli.models.packages import okedit_home
from okedit_cli.models.sentences import _checked, _encode, _taught, question_vectors
from okedit_cli.templates import rephrase

HEADS, HIDDEN, STEPS, BATCH, RATE, DECAY, DROPPED = 5, 64, 1200, 2048, 2e-3, 0.01, 0.2
FALSE, LOWEST = 0.005, 0.1
TEMPLATES = 6  # wordings of its own that an edit's question is known by
Vectors = Callable[[list[str]], torch.Tensor]  # of questions [n, 384]
Told = Callable[[str], float]  # the probability that a question asks what is shown
NOT_THINGS = ("identity/person", "identity/brand")  # free questions that ask for a name of another sort


class Wordings:
    """Questions that ask what is shown, and others: taught to an encoder, or held back from everything."""

    def __init__(self, fit: Path | None) -> None:
        pictures, fitted = picture_groups(random.Random(0)), fit_groups(fit) if fit else []
        groups = [*bank_groups(), *knowledge_groups(), *pictures, *fitted]
        # the bank asks of one picture in many ways, and persons are asked for by name
        others = [g for g in groups if not g.family.startswith(("identity", "bank:", "fit:"))]
        self.asking, self.others = _front([g for g in groups if g.family == "identity"]), _front(others)
        # what stands in a frame with a noun the topics were taught with another noun
        plain = {w for group in picture_wordings()[1] for w in group["wordings"] if "{noun}" not in w}
        self.held_others = sorted(
            plain.intersection(_held([g for g in pictures if not g.family.startswith("identity")]))
        )

    def held(self) -> list[str]:
        """Questions that ask something else, held back from the encoder and from the topics."""
        return [*self.held_others, *by_topic(parted()[1])[1]]


def _front(groups) -> list[str]:
    return sorted({w for group in groups for w in group.wordings} - set(_held(groups)))


def _held(groups) -> list[str]:
    return sorted({wording for group in groups for wording in held_back(group).wordings})


def by_topic(rows: list[tuple[str, int, str]]) -> tuple[list[str], list[str]]:
    """Free questions that ask what is shown, and the others."""
    rows = [row for row in rows if not row[2].startswith(NOT_THINGS)]
    about = [text for text, topic, _ in rows if topic == IDENTITY]
    return about, [text for text, topic, _ in rows if topic != IDENTITY]


def taught(parts: list[torch.Tensor], asks: list[bool], seed: int) -> nn.Sequential:
    """A head on the vectors of several lists of questions, each of which counts as much as another."""
    torch.manual_seed(seed)
    vectors = torch.cat(parts) * SHARP
    labels = torch.cat([torch.full((len(part),), float(yes)) for part, yes in zip(parts, asks, strict=True)])
    weights = torch.cat([torch.full((len(part),), len(vectors) / len(parts) / len(part)) for part in parts])
    head = nn.Sequential(
        nn.Linear(vectors.shape[1], HIDDEN), nn.GELU(), nn.Dropout(DROPPED), nn.Linear(HIDDEN, 1)
    )
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        some = torch.randint(len(vectors), (BATCH,))
        loss = F.binary_cross_entropy_with_logits(head(vectors[some])[:, 0], labels[some], reduction="none")
        optimiser.zero_grad()
        (loss * weights[some]).mean().backward()
        optimiser.step()
    return head


def stacked(heads: list[nn.Sequential]) -> dict[str, torch.Tensor]:
    """The weights of all heads as asking.py reads them."""
    inner, outer = [head[0] for head in heads], [head[3] for head in heads]
    return {
        "inner": torch.stack([layer.weight.detach() for layer in inner]).half(),
        "inner_bias": torch.stack([layer.bias.detach() for layer in inner]).half(),
        "outer": torch.stack([layer.weight.detach()[0] for layer in outer]).half(),
        "outer_bias": torch.cat([layer.bias.detach() for layer in outer]).half(),
    }


def heads_on(vectors_of: Vectors, known: Wordings) -> dict[str, torch.Tensor]:
    """HEADS heads on an encoder's vectors, taught what it is taught and the topics are."""
    free, others = by_topic(parted()[0])
    parts = [vectors_of(texts) for texts in (known.asking, free, known.others, others)]
    return stacked([taught(parts, [True, True, False, False], seed) for seed in range(HEADS)])


def scores(texts: list[str], vectors_of: Vectors, told: Told, heads: dict[str, torch.Tensor]) -> torch.Tensor:
    """asking.score() of questions [n] with these heads and topics."""
    found = opinion(vectors_of(texts), {name: one.float() for name, one in heads.items()})
    return asking.HEADS * found + torch.tensor([log_odds(told(text)) for text in texts])


def told_by(paths: Sequence[Path]) -> Told:
    """How probable it is by the mean of topics in files that a question asks what is shown."""
    models = [(load_file(path), _taught(_checked(okedit_home()), path)) for path in paths]

    def told(text: str) -> float:
        parts = [
            (_encode([text], *encoder)[0] @ layer["weight"].float().T + layer["bias"].float()).softmax(-1)
            for layer, encoder in models
        ]
        return float(sum(part[IDENTITY] for part in parts)) / len(parts)

    return told


def fallen_short(found: torch.Tensor, share: float) -> float:
    """The score that a share falls short of, by an exponential tail below the LOWEST part."""
    begins = float(found.quantile(LOWEST))
    excess = float((begins - found[found < begins]).mean())
    return begins - excess * math.log(LOWEST / share)


def keys_of(prompt: str) -> list[str]:
    """What an edit's question is known by: itself and its templates."""
    return [prompt, *rephrase(prompt, TEMPLATES)]


def judged(vectors_of: Vectors, told: Told, radius: float, fit: Path) -> float:
    """The score that FALSE of the fit split's rephrasings would fall short of; prints who else does."""
    known = Wordings(None)
    heads = heads_on(vectors_of, known)
    rows = json.loads(fit.read_text(encoding="utf-8"))
    keys = {prompt: vectors_of(keys_of(prompt)) for prompt in sorted({row["question"] for row in rows})}

    def within(text: str, own: torch.Tensor) -> bool:
        return bool(torch.cdist(vectors_of([text]), own).min() <= radius)

    rephrasings = {(text, row["question"]) for row in rows for text in row["rephrased_questions"]}
    asked = sorted({text for text, prompt in rephrasings if within(text, keys[prompt])})
    every = torch.cat(list(keys.values()))
    others = [text for text in known.held() if within(text, every)]
    found, other = (scores(texts, vectors_of, told, heads) for texts in (asked, others))
    for share in sorted({FALSE, 0.002, 0.01, 0.02}):
        least = fallen_short(found, share)
        seen, passed = (float((some < least).float().mean()) for some in (found, other))
        asked_low, others_low = f"{share:.1%} ({seen:.1%} of {len(found)})", f"{passed:.1%} of {len(other)}"
        print(f"{asked_low} of those that ask score below {least:.2f}, {others_low} others")
    return fallen_short(found, FALSE)


def remembering(vectors_of: Vectors) -> Vectors:
    """Each question is encoded once."""
    known: dict[str, torch.Tensor] = {}

    def vectors(texts: list[str]) -> torch.Tensor:
        for text in texts:
            if text not in known:
                known[text] = vectors_of([text])[0]
        return torch.stack([known[text] for text in texts])

    return vectors


def apart_of(paths: Sequence[Path]) -> tuple[Vectors, Told, float]:
    """The vectors of an encoder, what topics tell, and the encoder's radius, by their files."""
    encoder, *topics = paths
    with safe_open(encoder, "pt") as file:
        radius = float(file.metadata()["radius at 0.3%"])
    apart = _taught(_checked(okedit_home()), encoder)
    return remembering(lambda texts: _encode(texts, *apart)), told_by(topics), radius


def main() -> None:
    """Teach, judge, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="fit.json of okedit-pictures")
    parser.add_argument("--apart", type=Path, nargs=3, required=True, help="encoder and topics without it")
    chosen = parser.parse_args()
    least = judged(*apart_of(chosen.apart), chosen.fit)
    save_file(heads_on(question_vectors, Wordings(chosen.fit)), chosen.out, {"least": f"{least:.4f}"})


if __name__ == "__main__":
    main()
