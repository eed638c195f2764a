"""Train the relation encoder: what a question asks of somebody, whoever that is.

    python tools/bank/train_relations.py OUT.safetensors [--steps 560]

Goes on from the question encoder with the losses of train_questions.py, over relations whose wordings all
have one stand-in for the name: those of relation_wordings.yaml and relation_texts.yaml part by part, and of
relations.yaml. Relations of two parts may ask for the same and are never in one batch. Three in ten wordings
stand behind a piece of other text (fragments.yaml). Judged by held_relations.yaml, of which nothing is
trained on, as they are and behind fragments that were held back: of the wordings of one relation, the share
that lies nearer than the distance that so many of the others do, and the border that 99 in a hundred of them
lie within. 560 steps, seed 0, ship.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
import yaml
from train_questions import HERE, RATE, Encoder, Relations, contrast, is_held_back, save

from okedit_cli.named import STAND_IN

WORDINGS, AT_ONCE = 4, 28  # of a relation, and relations in a batch
NAMES = ("Paris", "it", "Smith", "this", "Anna Berg", "Toledo", "they", "X")
SHARES = (0.01, 0.02, 0.05)
MOST = 0.99  # of a relation's own distances lie within its border
SLOWER = 0.8  # than the question encoder
LED_UP, CUT_OFF = 0.3, 0.3  # wordings behind a fragment, and fragments without their mark
ROWS = 28  # read at once, of like length


def parts() -> list[list[list[str]]]:
    """Wordings of relations, part by part."""
    older = [[one["wordings"] for one in kind] for kind in Relations().by_kind.values() if len(kind) > 5]
    return written("relation_wordings") + older + written("relation_texts")


def written(name: str) -> list[list[list[str]]]:
    """The parts of a file."""
    found = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return [[one["wordings"] for one in part] for part in found.values()]


def fragments() -> tuple[list[str], list[str]]:
    """What may stand before a wording: to train on, and held back."""
    found = yaml.safe_load((HERE / "fragments.yaml").read_text(encoding="utf-8"))["fragments"]
    found = [one for one in found if not one.endswith("?")]
    return [one for one in found if not is_held_back(one)], [one for one in found if is_held_back(one)]


def put(form: str, name: str) -> str:
    """A wording about somebody."""
    text = form.replace("{s}", name)
    return text[:1].upper() + text[1:]


def read(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    """Unit vectors [n, d] of texts, those of like length together."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = [encoder([texts[row] for row in order[at : at + ROWS]]) for at in range(0, len(order), ROWS)]
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[back]


@torch.no_grad()
def judge(encoder: Encoder, before: list[str]) -> dict[str, float]:
    """Shares of the distances within a relation that lie below that of so many between relations, from
    wordings as they are, and from those behind one of `before` to them.
    """
    chance, out = random.Random(3), {}
    kinds = yaml.safe_load((HERE / "held_relations.yaml").read_text(encoding="utf-8"))["kinds"]
    same, others = {"": [], " behind text": []}, {"": [], " behind text": []}
    for kind in kinds.values():
        rows = [(name, put(text, STAND_IN)) for name, texts in kind["relations"].items() for text in texts]
        vectors = read(encoder, [text for _, text in rows])
        behind = read(encoder, [f"{chance.choice(before)} {text}" for _, text in rows])
        own = torch.tensor([[one == other for other, _ in rows] for one, _ in rows])
        for where, asked in (("", vectors), (" behind text", behind)):
            apart = torch.cdist(asked, vectors)
            same[where].append(apart[own & ~torch.eye(len(rows), dtype=torch.bool)])
            others[where].append(apart[~own])
    for where in same:
        mine, away = torch.cat(same[where]).sort().values, torch.cat(others[where]).sort().values
        border = out[f"border of {MOST:.0%}{where}"] = float(mine[int(MOST * len(mine))])
        out[f"within it{where}"] = float((away <= border).float().mean())
        for share in SHARES:
            radius = float(away[int(share * len(away))])
            out[f"radius at {share:.0%}{where}"] = radius
            out[f"found at {share:.0%}{where}"] = float((mine <= radius).float().mean())
    return out


def main() -> None:
    """Train, judge, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=560)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    chance, encoder, taught = random.Random(chosen.seed), begun(), parts()
    before, held_back = fragments()
    sizes = [len(part) for part in taught]
    print(f"{sum(sizes)} relations, {sum(len(w) for part in taught for w in part)} wordings", flush=True)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE * SLOWER, weight_decay=0.01)
    began = time.time()
    for step in range(chosen.steps + 1):
        if step % 140 == 0:
            judged = judge(encoder, held_back)
            print(step, round(time.time() - began), {k: round(v, 3) for k, v in judged.items()}, flush=True)
            save(encoder, chosen.out, judged)
        [part] = chance.choices(taught, sizes)
        name = chance.choice(NAMES)
        texts, numbers = [], []
        for number, forms in enumerate(chance.sample(part, min(AT_ONCE, len(part)))):
            for form in chance.sample(forms, min(WORDINGS, len(forms))):
                texts.append(led_up(put(form, name), before, chance))
                numbers.append(number)
        loss = contrast(read(encoder, texts), numbers, [str(number) for number in numbers])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = RATE * SLOWER * max(0.02, 1 - step / chosen.steps)


def led_up(text: str, before: list[str], chance: random.Random) -> str:
    """A wording, now and then behind a fragment."""
    if chance.random() >= LED_UP:
        return text
    fragment = chance.choice(before)
    return f"{fragment.rstrip('.!') if chance.random() < CUT_OFF else fragment} {text}"


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
