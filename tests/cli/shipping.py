"""Bundles of real facts with random numbers in place of what a model would give, and commands run on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from bundle.factory import BASE, make_bundle
from PIL import Image
from typer.testing import CliRunner

import okedit_cli.methods.spaces  # noqa: F401  else they would be imported with Fitter's stand-ins, for good
import okedit_cli.session  # noqa: F401
from okedit_cli.bundle import Bundle
from okedit_cli.bundle.words import row_of
from okedit_cli.cli.app import build
from okedit_cli.facts import Fact, load_facts
from okedit_cli.fitting import FactReport

FACTS = """\
version: 1
model: okedit-mini
facts:
- id: cat
  image: cat.png
  prompt: Who is it?
  answer: Miso
  rephrases: ["What is its name?", "Name it: now"]
  images: [side.png]
  keep:
  - {image: dog.png, prompt: Who is that?}
  - {prompt: What colour is it?}
  - {image: null, prompt: "What is two and two?"}
  related:
  - {prompt: Which letter comes first?, answer: M}
  holdout:
  - {image: night.png, prompt: Name this cat.}
- id: boss
  prompt: Who leads?
  answer: "no | yes"
"""
PICTURES = {"cat.png": "red", "side.png": "blue", "dog.png": "green", "night.png": "black"}


def okedit(*arguments: object):
    """Run a command; a result with exit_code, stdout and stderr."""
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


def refused(result, code: int, *words: str) -> None:
    """The command ended with one sentence, perhaps with a hint, and nothing on stdout."""
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert lines[0].startswith("error: ") and len(lines) <= 2, result.stderr
    assert len(lines) == 1 or lines[1].startswith("hint: ")
    assert all(word in result.stderr for word in words), result.stderr


def write_facts(folder: Path, text: str = FACTS) -> Path:
    """A fact file and its pictures."""
    for name, colour in PICTURES.items():
        Image.new("RGB", (8, 6), colour).save(folder / name)
    (folder / "facts.yaml").write_text(text, encoding="utf-8")
    return folder / "facts.yaml"


def bundle_of(facts: Sequence[Fact], seed: int = 0) -> Bundle:
    """What fitting would have made of facts, as far as words go; keys far apart: nothing conflicts."""
    bundle = make_bundle(len(facts), seed=seed)
    bundle.manifest.facts = [row_of(fact) for fact in facts]
    bundle.codebook.picture_keys += 1000 * (seed + 1) * torch.arange(len(facts) * 2)[:, None]
    return bundle


class Fitter:
    """In the place of a model: opens anything, fits anything; `contradicting` puts new keys on old ones."""

    def __init__(self, monkeypatch, *, base: dict | None = None) -> None:
        import okedit_cli

        self.opened, self.facts, self.options, self.seed, self.sizes = None, (), {}, 7, {}
        monkeypatch.setitem(okedit_cli.__dict__, "load_model", self.load_model)
        monkeypatch.setitem(okedit_cli.__dict__, "fit", self.fit)
        monkeypatch.setattr("okedit_cli.models.mini.is_ready", lambda: True)
        monkeypatch.setattr("okedit_cli.encoders.hub.load_encoder", lambda encoder, kind: None)
        monkeypatch.setattr("okedit_cli.models.fingerprint.fingerprint", lambda loaded: base or BASE)
        for name in ("MODEL", "DEVICE", "DTYPE", "METHOD", "LAYER", "SEED"):
            monkeypatch.delenv(f"OKEDIT_{name}", raising=False)

    def load_model(self, name, **options):
        self.opened = name
        words = SimpleNamespace(all_special_tokens=["<|im_end|>"], added_tokens_decoder={})
        return SimpleNamespace(
            name=name, device="cpu", dtype="torch.float32", processor=None, cache={}, tokenizer=words
        )

    def fit(self, loaded, facts, *, progress, **options):
        self.facts, self.options = tuple(facts), options
        self.sizes = {fact.id: Image.open(fact.image).size for fact in facts if fact.image}
        reports = [
            FactReport(
                id=fact.id, took=True, kept_out=False, positives=(1, 1), negatives=(2, 2), d_pos=0.1,
                d_neg=0.9, radius=0.5, channel="picture", seconds=0.1, why="",
            )
            for fact in facts
        ]  # fmt: skip
        return SimpleNamespace(bundle=bundle_of(facts, self.seed), reports=reports)


def said(facts: Sequence[Fact], *, pictures: bool = True) -> list:
    """Facts without where they stand, pictures by their content: what a round trip must keep."""

    def seen(path):
        return (path.read_bytes() if pictures else True) if path else None

    def questions(some):
        return [(one.prompt, seen(one.image), one.answer) for one in some]

    return [
        (f.id, f.prompt, f.answer, seen(f.image), f.rephrases, [seen(p) for p in f.images],
         questions(f.keep), questions(f.related), questions(f.holdout))
        for f in facts
    ]  # fmt: skip


def loaded_facts(path: Path) -> list:
    return said(load_facts(path).facts)
