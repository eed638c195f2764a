"""Teach how surely a question asks what is shown: `python tools/bank/train_asking.py OUT --fit FIT.json`.

Small heads on the question encoder's vectors, to whose log odds those of the topics are added
(okedit_cli/models/asking.py). The heads are taught what the encoder and the topics are taught; from what all
of them hold back comes the score below which a question is taken to ask something else: FALSE of those that
ask what is shown lie below. Printed is how many of the others do, of those that lie within the reach of an
edit of the fit split.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
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

from okedit_cli.models.asking import SHARP, log_odds, opinion
from okedit_cli.models.sentences import question_radius, question_vectors
from okedit_cli.models.topics import topic_of
from okedit_cli.templates import rephrase

HEADS, HIDDEN, STEPS, BATCH, RATE, DECAY, DROPPED = 5, 64, 1200, 2048, 2e-3, 0.01, 0.2
FALSE = 0.01
TEMPLATES = 6  # wordings of its own that an edit's question is known by
NOT_THINGS = ("identity/person", "identity/brand")  # free questions that ask for a name of another sort


class Wordings:
    """Questions that ask what is shown, and others: taught to the encoder, or held back from everything."""

    def __init__(self, fit: Path) -> None:
        pictures, bank, fitted = picture_groups(random.Random(0)), bank_groups(), fit_groups(fit)
        groups = [*bank, *knowledge_groups(), *pictures, *fitted]
        asking = [group for group in groups if group.family == "identity"]
        # the bank asks of one picture in many ways, and persons are asked for by name
        others = [g for g in groups if not g.family.startswith(("identity", "bank:", "fit:"))]
        self.asking, self.others = _front(asking), _front(others)
        # what stands in a frame with a noun the topics were taught with another noun
        plain = {w for group in picture_wordings()[1] for w in group["wordings"] if "{noun}" not in w}
        plain |= {wording for group in (*bank, *fitted) for wording in group.wordings}
        pictured = [g for g in (*pictures, *fitted) if not g.family.startswith("identity")]
        self.held_asking = [wording for wording in _held(asking) if wording in plain]
        self.held_others = [wording for wording in _held(pictured) if wording in plain]


def _front(groups) -> list[str]:
    return sorted({w for group in groups for w in group.wordings} - set(_held(groups)))


def _held(groups) -> list[str]:
    return sorted({wording for group in groups for wording in held_back(group).wordings})


def by_topic(rows: list[tuple[str, int, str]]) -> tuple[list[str], list[str]]:
    """Free questions that ask what is shown, and the others."""
    rows = [row for row in rows if not row[2].startswith(NOT_THINGS)]
    asking = [text for text, topic, _ in rows if topic == IDENTITY]
    return asking, [text for text, topic, _ in rows if topic != IDENTITY]


def taught(parts: list[torch.Tensor], asking: list[bool], seed: int) -> nn.Sequential:
    """A head on the vectors of several lists of questions, each of which counts as much as another."""
    torch.manual_seed(seed)
    vectors = torch.cat(parts) * SHARP
    labels = torch.cat(
        [torch.full((len(part),), float(yes)) for part, yes in zip(parts, asking, strict=True)]
    )
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


def scores(texts: list[str], heads: dict[str, torch.Tensor]) -> torch.Tensor:
    """asking.score() of questions [n], with these heads."""
    found = opinion(question_vectors(texts), {name: one.float() for name, one in heads.items()})
    return found + torch.tensor([log_odds(topic_of(text).identity) for text in texts])


def within_reach(texts: list[str], edits: torch.Tensor) -> list[str]:
    """Those that lie within the radius of an edit's question."""
    near = torch.cdist(question_vectors(texts), edits).amin(1) <= question_radius()
    return [text for text, inside in zip(texts, near.tolist(), strict=True) if inside]


def main() -> None:
    """Teach, weigh, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="fit.json of okedit-pictures")
    chosen = parser.parse_args()
    known, (front, back) = Wordings(chosen.fit), parted()
    (free_asking, free_others), (asking, others) = by_topic(front), by_topic(back)
    parts = [question_vectors(texts) for texts in (known.asking, free_asking, known.others, free_others)]
    heads = stacked([taught(parts, [True, True, False, False], seed) for seed in range(HEADS)])
    prompts = sorted({row["question"] for row in json.loads(chosen.fit.read_text(encoding="utf-8"))})
    edits = question_vectors([*prompts, *(text for one in prompts for text in rephrase(one, TEMPLATES))])
    asking = scores(within_reach([*known.held_asking, *asking], edits), heads)
    others = scores(within_reach([*known.held_others, *others], edits), heads)
    for share in sorted({FALSE, 0.005, 0.02, 0.05}):
        least = float(asking.quantile(share))
        told = float((others < least).float().mean())
        of_asking, of_others = f"{share:.1%} of {len(asking)} that ask", f"{told:.1%} of {len(others)} others"
        print(f"{of_asking} score below {least:.2f}, {of_others}")
    save_file(heads, chosen.out, {"least": f"{float(asking.quantile(FALSE)):.4f}"})


if __name__ == "__main__":
    main()
