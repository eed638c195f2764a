"""Broken fact files: anchors, wrong types, odd text, great size, deep nesting, and plain damage."""

from __future__ import annotations

import random
from pathlib import Path

from okedit_cli.facts import load_facts

GOOD = """\
version: 1
model: okedit-mini
defaults: {layer: auto, seed: 3}
facts:
  - id: office-cat
    image: cat.png
    prompt: What is this cat's name?
    answer: Miso
    rephrases: ["Who is this cat?", 'Name it']
    images: [side.png]
    keep:
      - {image: side.png, prompt: "What is this dog's name?"}
      - {prompt: "What colour is this cat?"}
    related:
      - {prompt: "What letter?", answer: M}
    holdout:
      - {image: null, prompt: Name this cat.}
  - prompt: Who leads?
    answer: |
      Ada
"""
TOKENS = (
    "no", "1.10", "2020-01-01", "null", "~", "[]", "{}", "[[]]", "{a: b}", "!!python/object:os.system x", "|",
    "!!binary x", "!!set {a}", "&a", "*a", "<<: *a", ">", "- ", ": ", "? ", "#", "'", '"', "\t", "%YAML 9.9",
    "---", "...", "\u2028", "\u202e", "\x85", "\ufeff", "\U0001f431", "e\u0301", "\x00", "\x1b[2J", "id:",
    "../../etc/passwd", "/dev/zero", "/dev/stdin", "x" * 3000, "facts:", "version: 2", "=", "0x10", "1e9",
    ".inf", "image: .", '"\\ud800"', '"\\0"', '"\\U00110000"',
)  # fmt: skip


class Cases:
    """Mutations of a fact file with two facts and two pictures."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "facts.yaml"
        for name in ("cat.png", "side.png"):
            (folder / name).write_bytes(b"x")  # load_facts looks whether it is there, not what it is

    def case(self, chance: random.Random) -> str:
        """Write the next broken file; returns what was done to it."""
        kinds = (self._tokens, self._tokens, self._lines, self._bytes, self._bomb, self._deep, self._huge)
        weights = (30, 30, 20, 20, 4, 4, 1)
        [kind] = chance.choices(kinds, weights)
        data = kind(chance)
        self.path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
        return kind.__name__[1:]

    def check(self) -> None:
        """Read it."""
        load_facts(self.path)

    def _tokens(self, chance: random.Random) -> str:
        text = GOOD
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(TOKENS) + text[place + chance.choice([0, 0, 1, 5]) :]
        return text

    def _lines(self, chance: random.Random) -> str:
        lines = GOOD.splitlines()
        for _ in range(chance.randint(1, 4)):
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            what = chance.randrange(4)
            if what == 0:
                lines[one], lines[other] = lines[other], lines[one]
            elif what == 1:
                lines.insert(one, lines[other])
            elif what == 2:
                lines[one] = " " * chance.randint(0, 8) + lines[one].strip()
            elif ":" in lines[one]:
                lines[one] = lines[one].split(":")[0] + ": " + chance.choice(TOKENS)
        return "\n".join(lines)

    def _bytes(self, chance: random.Random) -> bytes:
        data = bytearray(GOOD.encode())
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        if chance.random() < 0.1:
            return (
                bytes(data).decode("latin-1").encode(chance.choice(["utf-16", "utf-32", "utf-7"]), "replace")
            )
        return bytes(data)

    def _bomb(self, chance: random.Random) -> str:
        """Aliases that unfold into more than any memory holds, or into themselves."""
        depth, width = chance.randint(3, 30), chance.randint(2, 12)
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
        key = chance.choice(["facts", "version", "keep", "rephrases"])
        tail = f"{key}: *a{depth - 1}"
        if chance.random() < 0.3:
            return f"version: 1\nfacts: &f\n  - prompt: x\n    answer: y\n    {key}: *f\n"
        if chance.random() < 0.5:
            head = "version: 1\nfacts:\n  - prompt: x\n    answer: y\n    keep:\n"
            nested = "".join(
                f"      - &b{i} [{', '.join([f'*b{i - 1}'] * width if i else 'x')}]\n" for i in range(depth)
            )
            return head + nested
        return "\n".join(["version: 1", *lines, tail])

    def _deep(self, chance: random.Random) -> str:
        depth = chance.choice([15, 25, 500, 20_000])
        opening = chance.choice(["[", "{a: ", "- ", "? "])
        key = chance.choice(["facts: ", "version: ", ""])
        return f"version: 1\n{key}" + opening * depth + ("]" * depth if opening == "[" else "")

    def _huge(self, chance: random.Random) -> str:
        what = chance.randrange(4)
        if what == 0:
            return GOOD + "#" * chance.choice([9_000_000, 11_000_000])
        if what == 1:
            return "version: 1\nfacts:\n" + "- {prompt: q, answer: a}\n" * chance.choice([1000, 20_000])
        if what == 2:
            return "version: 1\nfacts:\n- prompt: " + "x" * 3_000_000 + "\n  answer: y\n"
        return "version: 1\nfacts: [" + "x," * 600_000 + "]"
