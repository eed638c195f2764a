"""How far may a question lie that names whom an edit is about? `python -m tools.bank.judge_names`

Of every relation in held_relations.yaml two wordings are facts about each subject, each in a bundle of its
own, and all wordings about the same subject are asked: how many does the edit answer of its own relation, and
how many of the others? Nothing is generated, and no encoder is taught any of these questions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import yaml

import okedit_cli
from okedit_cli.asked import Asked
from okedit_cli.facts import Fact
from okedit_cli.models.features import question_feature
from okedit_cli.models.question import question_ids
from okedit_cli.named import of_whom
from tools.bench.ablation import held

FACTS = 2  # wordings of a relation that are facts
HELD = Path(__file__).with_name("held_relations.yaml")


def main(words: Sequence[str] | None = None) -> None:
    """Print what is found of the same, and what is let in of the others."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bank.judge_names", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--from", type=int, default=0, dest="first", help="subjects of a kind left out")
    parser.add_argument("--subjects", type=int, help="so many of each kind. [default: all others]")
    given = parser.parse_args(words)
    loaded, kinds = (
        okedit_cli.load_model("okedit-mini"),
        yaml.safe_load(HELD.read_text(encoding="utf-8"))["kinds"],
    )
    last = None if given.subjects is None else given.first + given.subjects
    rows = list(judged(loaded, kinds, slice(given.first, last)))
    for what, column in (("by the distance alone", 1), ("without the name", 2)):
        same, others = ([row[column] <= 1 for row in rows if row[0] == wanted] for wanted in (True, False))
        shares = (f"{100 * sum(some) / len(some):5.1f} of {len(some):,}" for some in (same, others))
        print(f"{what:32} found {next(shares)}, let in {next(shares)}")


def judged(loaded, kinds: dict, subjects: slice) -> Iterator[tuple[bool, float, float]]:
    """Of each question and each fact about its subject: whether they are of one relation, and how far they
    lie apart in radii of the fact's edit, by the distance alone and as it is judged.
    """
    for kind in kinds.values():
        for subject in kind["subjects"][subjects]:
            asked = [
                (relation, number, wording.format(s=subject))
                for relation, wordings in kind["relations"].items()
                for number, wording in enumerate(wordings)
            ]
            for own, place, prompt in asked:
                if place >= FACTS:
                    continue
                bundle = held(loaded, [_fact(prompt)])
                book, layer = bundle.codebook, bundle.manifest.site["key_layer"]
                for relation, number, text in asked:
                    ids = question_ids(loaded, text)
                    feature = question_feature(loaded, ids, layer)
                    named = of_whom(_asked(loaded, bundle, ids, feature))
                    if named and (own, place) != (relation, number):
                        alone = float(book.asked_of([0], feature) / book.question_radius)
                        yield own == relation, alone, named[0].match.reach


def _asked(loaded, bundle, ids: Sequence[int], feature: torch.Tensor) -> Asked:
    return Asked(loaded, [bundle], [0.5], ids, lambda _: [feature])


def _fact(prompt: str) -> Fact:
    nothing = dict.fromkeys(("rephrases", "images", "keep", "related", "holdout"), ())
    return Fact(id="one", prompt=prompt, answer="Ann Lee", image=None, line=1, **nothing)


if __name__ == "__main__":
    sys.exit(main())
