"""The words okedit-mini's concept head can say: vocabulary.json beside this file, written by tools/mini."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("vocabulary.json")


@dataclass(frozen=True)
class Vocabulary:
    """`names` (the head's own first), `kinds`, and for each ImageNet class the index of its name and its
    kind.
    """

    names: list[str]
    kinds: list[str]
    imagenet_names: list[int]
    imagenet_kinds: list[int]


def load_vocabulary(path: Path = FILE) -> Vocabulary:
    """Read the file."""
    return Vocabulary(**json.loads(path.read_text(encoding="utf-8")))
