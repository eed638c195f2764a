"""How far do edits reach on the sets that were written blind? `python -m tools.bench.sets [NAME]`

`everyday`, `pictures` and `subjects` (sets/*.yaml): every fact is held with all others of its set; then its
rewordings and its near questions are decided. Of facts about pictures each stands for a picture of its own,
so that words alone decide. Nothing is generated. `--misses OUT.json` lists what was decided wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from okedit_cli.scope.classifier import judge

SETS = Path(__file__).with_name("sets")
ANSWERED = ("rephrases", "aliases")


def questions(fact: dict) -> Iterator[tuple[str, str]]:
    """(column, question) of one fact."""
    for column in ("rephrases", "aliases", "near", "other", "same_subject", "other_subjects", "yes_no"):
        found = fact.get(column) or ()
        if isinstance(found, dict):
            yield from ((f"near, {kind}", str(text)) for kind, text in found.items())
            yield from (("near", str(text)) for text in found.values())
        else:
            yield from ((column, str(text)) for text in found)


def decided(name: str) -> list[tuple[str, str, str, bool, float]]:
    """(column, prompt, question, whether it is decided as it should be, score) of a set."""
    out = []
    for fact in yaml.safe_load((SETS / f"{name}.yaml").read_text(encoding="utf-8"))["facts"]:
        for column, question in questions(fact):
            found = judge(fact | {"rephrases": []}, question)
            fires = found.label == "answers" and found.distance <= 1
            out.append((column, str(fact["prompt"]), question, fires == (column in ANSWERED), found.score))
    return out


def main(words: Sequence[str] | None = None) -> None:
    """Print the shares, and write what was decided wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.sets", description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="*", default=["everyday", "pictures", "subjects"])
    parser.add_argument("--misses", type=Path, help="where what was decided wrongly is listed, as JSON")
    given = parser.parse_args(words)
    missed = []
    for name in given.name:
        found = decided(name)
        print(f"{name}: percent of questions decided as they should be")
        for column in dict.fromkeys(row[0] for row in found):
            rows = [row[3] for row in found if row[0] == column]
            print(f"  {column:24} {100 * sum(rows) / len(rows):5.1f} of {len(rows)}")
        missed += [{"set": name, "column": c, "prompt": p, "asked": q, "score": round(s, 2)}
                   for c, p, q, right, s in found if not right]  # fmt: skip
    if given.misses:
        given.misses.write_text(json.dumps(missed, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
