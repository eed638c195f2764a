"""Write okedit_cli/bank/questions.yaml from wordings.yaml: python tools/bank/questions.py.

A group is one intent asked of one subject. Subjects share intents and intents share wordings, so that the
bank holds both kinds of near miss in plenty: the same words about another subject, and another question about
the same one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "okedit_cli/bank/questions.yaml"
HEAD = """\
# Questions for near and far negatives; written by tools/bank/questions.py, do not edit.
# Each group: one intent asked of one subject, in several wordings.
"""


def filled(wording: str, subject: str, noun: str) -> str:
    """A wording with its subject put in and a capital in front."""
    possessive = subject + ("'" if subject.endswith("s") and not subject.startswith("this ") else "'s")
    text = wording.format(s=subject, p=possessive, n=noun)
    return text[0].upper() + text[1:]


def groups(source: dict) -> Iterator[tuple[str, str, list[str]]]:
    """(intent, subject, wordings) of every group, in the order of the source."""
    for intent, wordings in source["picture"].items():
        yield intent, "the picture", wordings
    for noun, intents in source["asked_of"].items():
        for intent in intents:
            subject = f"this {noun}"
            yield intent, subject, [filled(w, subject, noun) for w in source["things"][intent]]
    for subject, intents in source["asked_of_world"].items():
        for intent in intents:
            yield intent, subject, [filled(w, subject, subject) for w in source["world"][intent]]
    for key, wordings in source["single"].items():
        intent, subject = key.split("/")
        yield intent, subject, wordings


def main() -> None:
    source = yaml.safe_load((HERE / "wordings.yaml").read_text(encoding="utf-8"))
    lines, count, seen = [HEAD], 0, {}
    for number, (intent, subject, wordings) in enumerate(groups(source)):
        for wording in wordings:
            plain = " ".join(re.findall(r"\w+", wording.casefold()))
            if plain in seen:
                raise SystemExit(f"{wording!r} stands in {seen[plain]} and in {(intent, subject)}")
            seen[plain] = (intent, subject)
        # another wording leads each time: whoever takes the first of a group gets all of them
        turn = number % len(wordings)
        ordered = wordings[turn:] + wordings[:turn]
        count += len(ordered)
        shown = json.dumps(subject, ensure_ascii=False)
        lines.append(f"- intent: {json.dumps(intent)}\n  subject: {shown}\n  wordings:\n")
        lines.extend(f"  - {json.dumps(wording, ensure_ascii=False)}\n" for wording in ordered)
    OUT.write_text("".join(lines), encoding="utf-8")
    print(f"{number + 1} groups, {count} questions, {OUT.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
