"""Train the relation encoder: what a question asks of somebody, whoever that is.

    python tools/bank/train_relations.py OUT.safetensors [--steps 500]

Goes on from the question encoder with the losses of train_questions.py, over relations whose wordings all
have one stand-in for the name: those of relation_wordings.yaml part by part, and of relations.yaml. Relations
of two parts may ask for the same and are never in one batch. Judged by held_relations.yaml, of which nothing
is trained on: of the wordings of one relation, the share that lies nearer than the distance that so many of
the others do. 500 steps, seed 0, ship.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
import yaml
from train_questions import HERE, RATE, Encoder, Relations, contrast, save

from okedit_cli.named import STAND_IN

WORDINGS, AT_ONCE = 4, 28  # of a relation, and relations in a batch
NAMES = ("Paris", "it", "Smith", "this", "Anna Berg", "Toledo", "they", "X")
SHARES = (0.01, 0.02, 0.05)


def parts() -> list[list[list[str]]]:
    """Wordings of relations, part by part."""
    written = yaml.safe_load((HERE / "relation_wordings.yaml").read_text(encoding="utf-8"))
    out = [[one["wordings"] for one in part] for part in written.values()]
    return out + [[one["wordings"] for one in kind] for kind in Relations().by_kind.values() if len(kind) > 5]


def put(form: str, name: str) -> str:
    """A wording about somebody."""
    text = form.replace("{s}", name)
    return text[:1].upper() + text[1:]


@torch.no_grad()
def judge(encoder: Encoder) -> dict[str, float]:
    """Shares of the distances within a relation that lie below that of so many between relations."""
    kinds = yaml.safe_load((HERE / "held_relations.yaml").read_text(encoding="utf-8"))["kinds"]
    same, others = [], []
    for kind in kinds.values():
        rows = [(name, text) for name, texts in kind["relations"].items() for text in texts]
        vectors = encoder([put(text, STAND_IN) for _, text in rows])
        apart = torch.cdist(vectors, vectors)
        for i, (one, _) in enumerate(rows):
            for j, (other, _) in enumerate(rows):
                if i != j:
                    (same if one == other else others).append(float(apart[i, j]))
    others, out = torch.tensor(others).sort().values, {}
    for share in SHARES:
        radius = float(others[int(share * len(others))])
        out[f"radius at {share:.0%}"] = radius
        out[f"found at {share:.0%}"] = float((torch.tensor(same) <= radius).float().mean())
    return out


def main() -> None:
    """Train, judge, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    chance, encoder, taught = random.Random(chosen.seed), begun(), parts()
    sizes = [len(part) for part in taught]
    print(f"{sum(sizes)} relations, {sum(len(w) for part in taught for w in part)} wordings", flush=True)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE / 2, weight_decay=0.01)
    began = time.time()
    for step in range(chosen.steps + 1):
        if step % 100 == 0:
            judged = judge(encoder)
            print(step, round(time.time() - began), {k: round(v, 3) for k, v in judged.items()}, flush=True)
            save(encoder, chosen.out, judged)
        [part] = chance.choices(taught, sizes)
        name = chance.choice(NAMES)
        texts, numbers = [], []
        for number, forms in enumerate(chance.sample(part, min(AT_ONCE, len(part)))):
            some = chance.sample(forms, min(WORDINGS, len(forms)))
            texts += [put(form, name) for form in some]
            numbers += [number] * len(some)
        loss = contrast(encoder(texts), numbers, [str(number) for number in numbers])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = RATE / 2 * max(0.02, 1 - step / chosen.steps)


def begun() -> Encoder:
    """An encoder with the changes of the question encoder."""
    from safetensors.torch import load_file

    from okedit_cli.models.sentences import CHANGES

    encoder = Encoder()
    changes = {name: value.float() for name, value in load_file(CHANGES).items()}
    wrong = set(changes) - set(encoder.changed())
    assert not wrong, wrong
    encoder.load_state_dict(changes, strict=False)
    return encoder


if __name__ == "__main__":
    main()
