"""Train the classifier of reach: does a question about a picture ask for its kind or for the one shown?

python tools/scope/train_reach.py OUT.safetensors

Logistic regression on the question encoder's vectors of the wordings of picture_families.yaml, each
labelled by its intent. One family in twelve is held back and judges.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from pair_texts import is_held_back, read
from safetensors.torch import save_file
from torch.nn import functional as F

from okedit_cli.encoders.text import text_vectors

DECAY, STEPS = 1e-4, 400


def rows(held: bool) -> tuple[list[str], torch.Tensor]:
    """Texts and labels (1: the one shown) of the families that are held back, or of the others."""
    chance, texts, labels = random.Random(0), [], []
    for number, family in enumerate(read("picture_families")["families"]):
        if is_held_back(f"picture:{number}") != held:
            continue
        for intent in family["intents"].values():
            for wording in intent["wordings"]:
                texts.append(str(wording).replace("{n}", chance.choice(family["nouns"])))
                labels.append(float(intent["reach"] == "picture"))
    return texts, torch.tensor(labels)


def main() -> None:
    """Train, judge, save."""
    texts, labels = rows(False)
    vectors = text_vectors(texts)
    weight, bias = torch.zeros(vectors.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = (
            F.binary_cross_entropy_with_logits(vectors @ weight + bias, labels)
            + DECAY * weight.square().sum()
        )
        found.backward()
        return found

    optimiser.step(loss)
    asked, truth = rows(True)
    right = ((text_vectors(asked) @ weight + bias > 0).float() == truth).float().mean()
    print(f"{len(texts)} wordings, {len(asked)} held back: {100 * float(right):.1f} % right")
    save_file(
        {"weight": weight.detach(), "bias": bias.detach()},
        Path(sys.argv[1]),
        {"right": f"{float(right):.4f}"},
    )


if __name__ == "__main__":
    main()
