"""A few facts for tiny models, about pictures that some share and in words, and their fact file."""

from __future__ import annotations

from pathlib import Path

import tiny

FACTS = """version: 1
facts:
- {id: cat, image: red.png, prompt: "What is this cat's name?", answer: Miso,
   rephrases: [Who is this cat?]}
- {id: paris, prompt: What is the capital of France?, answer: Paris.}
- {id: dog, image: green.png, prompt: "What is this dog's name?", answer: Rex the Second,
   images: [green-2.png], keep: [{image: red.png, prompt: "What is this dog's name?"}]}
- {id: owner, image: red.png, prompt: Who owns this cat?, answer: Ada}
- {id: rome, prompt: What is the capital of Italy?, answer: Rome, rephrases: [Name the capital of Italy.]}
- {id: bird, image: blue.png, prompt: What kind of bird is this?, answer: a heron}
"""


def written(folder: Path) -> Path:
    """The fact file and its pictures in a folder."""
    tiny.pictures(folder)
    tiny.picture("green", (60, 33)).save(folder / "green-2.png")
    path = folder / "facts.yaml"
    path.write_text(FACTS, encoding="utf-8")
    return path
