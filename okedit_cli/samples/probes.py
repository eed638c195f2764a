"""Near questions that a fact should leave alone, made of its prompt and its answer; English only.

One word of the prompt changed: the opposite, another attribute, another qualifier, and what its subject is.
And questions for yes or no, to which a bare value is no answer. They are asked of every fitted edit, and
those that it answers all the same are named in the report. Not here: negatives that edits are fitted with
(negatives.py).
"""

from __future__ import annotations

import functools
import re

from okedit_cli.bank import FOLDER
from okedit_cli.samples.clauses import predicate_of
from okedit_cli.samples.wording import LONG, bare, entity_spans, is_question, mentions, normal, subject_noun

FILE = FOLDER / "swaps.yaml"


@functools.cache
def _swaps() -> tuple[tuple[str, str], ...]:
    import yaml

    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    pairs = [tuple(map(str, pair)) for pair in (*found["opposites"], *found["attributes"])]
    both = [pair for one in pairs for pair in (one, one[::-1])]
    return (*both, *(tuple(map(str, pair)) for pair in found["qualifiers"]))


def probes_of(prompt: str) -> list[str]:
    """Near questions to a prompt, each once; none of a prompt that no swap fits."""
    out = []
    for word, other in _swaps():
        changed = re.sub(rf"\b{re.escape(word)}\b", other, prompt, count=1, flags=re.IGNORECASE)
        if changed != prompt:
            out.append(changed[:1].upper() + changed[1:])
    if spans := entity_spans(prompt):
        out.append(f"What is {spans[0]}?")
    known = {normal(prompt)}
    return [text for text in dict.fromkeys(out) if normal(text) not in known]


def yes_no_of(prompt: str, answer: str, pictured: bool) -> list[str]:
    """Questions to which "yes" is the right answer once the fact holds: whether the answer is as it says, and
    of a picture, whether its thing is what the prompt calls it. None where the parts cannot be told.
    """
    out, said = [], bare(answer)
    parts = predicate_of(prompt) if is_question(prompt) and said and len(said.split()) <= LONG else None
    if parts and parts[1]:
        thing = re.fullmatch(r"(.+) (is|are|was|were)", parts[1])
        # "where the office is" may have an answer that is no noun
        if thing and re.match(r"(?:what|which|who)\b", parts[0], re.IGNORECASE):
            out.append(f"{thing[2].capitalize()} {thing[1]} {said}?")
        else:
            out.append(f"Is it true that {parts[1]} {said}?")
    elif parts and re.match(r"who [a-z]", parts[0]):
        out.append(f"Is it true that {said}{parts[0][3:]}?")
    if pictured and (noun := subject_noun(prompt)) and not re.search("[^us]s$", noun):
        out.append(f"Is there {'an' if noun[0] in 'aeiou' else 'a'} {noun} in this picture?")
    return out


def is_miss(before: str, after: str, answer: str) -> bool:
    """Whether an edit spoils a question of yes_no_of: a "yes" is one no more, or the value alone is said."""
    if after == before:
        return False
    said = _yes_no(after)
    return (_yes_no(before) == "yes" and said != "yes") or (not said and mentions(after, bare(answer)))


def _yes_no(text: str) -> str:
    found = re.match(r"\W*(yes|no)\b", text.casefold())
    return found[1] if found else ""
