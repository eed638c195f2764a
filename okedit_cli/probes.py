"""Near questions that a fact should leave alone, made by changing one word of its prompt; English only.

The opposite, another attribute, another qualifier, and what its subject is. They are asked of every fitted
edit, and those that it answers all the same are named in the report. Not here: negatives that edits are
fitted with (negatives.py).
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from .wording import entity_spans, normal

FILE = Path(__file__).parent / "bank" / "swaps.yaml"


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
