"""How wide is the doubt in which the unedited model's own answer decides (okedit_cli/outer.py)?

    python tools/bank/judge_doubt.py --fit okedit-pictures/fit.json --apart ENCODER TOPICS TOPICS

Facts of the fit split and their pictures; asked of the unedited model are their rephrasings, and questions
that ask something else, held back from what an encoder and topics were taught without the fit split
(train_asking.py). Told is, for each width in log odds on either side of the score below which something else
is asked, how many of those within a fact's reach the edit would let pass, and of the others how many would be
answered with the edit though the model had said something else than its name for the picture.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from train_asking import Wordings, apart_of, heads_on, keys_of, scores

import okedit_cli
from okedit_cli.generate import generate
from okedit_cli.models import asking
from okedit_cli.models.own_answers import LONGEST
from okedit_cli.pictures import load_picture
from okedit_cli.wording import told_alike

OTHERS = 8  # questions that ask something else, for each fact
WIDTHS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Asked:
    """A question about a fact's picture: whether it asks what is shown, its score, and whether the unedited
    model says to it what it says to the fact's own question.
    """

    asks: bool
    score: float
    alike: bool

    def passes(self, width: float) -> bool:
        """Whether an edit lets it pass with so wide a doubt."""
        away = self.score - asking.least()
        return away < 0 if abs(away) > width else not self.alike


def asked_of(fit: Path, facts: int, apart: Sequence[Path]) -> list[Asked]:
    """Every question within reach of so many facts of the fit split."""
    vectors_of, told, radius = apart_of(apart)
    known = Wordings(None)
    held, heads = known.held(), heads_on(vectors_of, known)
    rows = json.loads(fit.read_text(encoding="utf-8"))
    random.Random(1).shuffle(rows)
    loaded, out = okedit_cli.load_model("okedit-mini"), []
    for number, row in enumerate(rows[:facts]):
        own = row["question"]
        keys = vectors_of(keys_of(own))

        def reached(text: str, keys: torch.Tensor = keys) -> bool:
            return float(torch.cdist(vectors_of([text]), keys).min()) <= radius

        near = [text for text in held if reached(text)]
        random.Random(number).shuffle(near)
        asking_it = [text for text in row["rephrased_questions"] if reached(text)]
        texts, picture = [own, *asking_it, *near[:OTHERS]], load_picture(fit.parent / row["image"])
        said = generate(loaded, [(text, picture) for text in texts], max_new_tokens=LONGEST)
        found = scores(texts, vectors_of, told, heads).tolist()
        for place, text in enumerate(texts[1:], 1):
            alike = told_alike(said[place].text, said[0].text, f"{text} {own}")
            out.append(Asked(place <= len(asking_it), found[place], alike))
    return out


def main() -> None:
    """Print a line for each width."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fit", type=Path, required=True, help="fit.json of okedit-pictures")
    parser.add_argument("--apart", type=Path, nargs=3, required=True, help="encoder and topics without it")
    parser.add_argument("--facts", type=int, default=120)
    chosen = parser.parse_args()
    found = asked_of(chosen.fit, chosen.facts, chosen.apart)
    asks, others = ([one for one in found if one.asks == yes] for yes in (True, False))
    print(f"{len(asks)} questions ask what is shown, {len(others)} something else")
    for width in WIDTHS:
        lost, passed = (sum(one.passes(width) for one in some) / len(some) for some in (asks, others))
        wrong = sum(not one.passes(width) and not one.alike for one in others) / len(others)
        print(
            f"width {width}: {lost:.2%} of those that ask are let pass, {passed:.1%} of others; of others"
            f" {wrong:.1%} lose an answer that was no name"
        )


if __name__ == "__main__":
    main()
