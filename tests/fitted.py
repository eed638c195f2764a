"""Tiny models with two facts fitted, each family once a run: `fitted(family)` must be left as it was found.

Random models see no sense, so a fact's scope is drawn by hand around its own words and its own picture.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest import mock

import tiny

import okedit_cli
from okedit_cli.facts import Fact

PICTURED, WORDS = "What is this cat's name?", "What is the capital of France?"
MISO, PARIS = "Miso", "Paris."
OTHER = "How many people are there in the picture?"
RADIUS = 0.8  # of questions in scopes drawn by hand: within it the classifier is asked
_FOLDER = tempfile.TemporaryDirectory(prefix="okedit-tests-")
ROOT = Path(_FOLDER.name)


@dataclass
class Fitted:
    loaded: object
    facts: list[Fact]
    result: object
    bundle: object  # with scopes that hold the facts' own questions and pictures, and nothing else

    @property
    def questions(self):
        """Eight questions: both facts hit, the rest outside."""
        own = tiny.picture() if self.loaded.processor else None
        other = tiny.picture("blue", (60, 33)) if self.loaded.processor else None
        asked = [(PICTURED, own), (OTHER, own), (WORDS, None), ("Who?", None), (OTHER, other)]
        if other is not None:
            asked.append((PICTURED, other))
        return [*asked, ("Is this a dog?", own), ("Tell me\nmore: 3 x 4", None)][:8]

    @property
    def hits(self):
        """What fires on `questions`."""
        facts = {(PICTURED, True): "cat", (WORDS, True): "capital"}
        own = [True, True, True, True, *[False] * (2 if self.loaded.processor else 1), True, True]
        return [facts.get((prompt, mine)) for (prompt, _), mine in zip(self.questions, own, strict=True)]


def fact(name: str, prompt: str, answer: str, image: Path | None = None, **fields) -> Fact:
    """A fact with nothing but what is given."""
    empty = dict.fromkeys(("rephrases", "images", "keep", "related", "holdout"), ())
    return Fact(id=name, prompt=prompt, answer=answer, image=image, line=1, **{**empty, **fields})


def facts_for(loaded) -> list[Fact]:
    """One fact about a picture (without it on a text-only model) and one in words."""
    image = None
    if loaded.processor is not None:
        image = ROOT / "red.png"
        tiny.picture().save(image)
    return [fact("cat", PICTURED, MISO, image), fact("capital", WORDS, PARIS)]


@cache
def _whole_bank():
    """The bank as it is outside of every small world: one world within another is no smaller."""
    from okedit_cli import bank

    return bank.load_bank()


def world():
    """Context: a small bank, and a home of our own with the encoders that `okedit setup` has put into the
    user's.
    """
    from okedit_cli import bank
    from okedit_cli.models.packages import okedit_home

    home = ROOT / "home"
    home.mkdir(exist_ok=True)
    if not (home / "parts").exists():
        (home / "parts").symlink_to(okedit_home() / "parts")
    whole = _whole_bank()
    part = bank.Bank(whole.questions[::6], whole.pictures[::8], "small", whole._by_wording)
    stack = ExitStack()
    stack.enter_context(mock.patch.object(bank, "load_bank", lambda: part))
    stack.enter_context(mock.patch.dict("os.environ", {"OKEDIT_HOME": str(home)}))
    return stack


@cache
def folder(family: str) -> Path:
    """The family's checkpoint."""
    return tiny.build(family, ROOT / family)


def load(family: str):
    """The family's model, opened anew."""
    return okedit_cli.load_model(str(folder(family)))


def fit(loaded, facts, **options):
    """okedit_cli.fit in the small world."""
    with world():
        return okedit_cli.fit(loaded, facts, force=True, **options)


@cache
def fitted(family: str) -> Fitted:
    loaded = load(family)
    facts = facts_for(loaded)
    result = fit(loaded, facts)
    return Fitted(loaded, facts, result, drawn_by_hand(result.bundle))


def drawn_by_hand(bundle):
    """The bundle with scopes around the facts' own words and pictures."""
    return with_radius(bundle, RADIUS, 1.0)


def with_radius(bundle, radius: float, picture: float | None = None):
    """The bundle with every finite radius set (of pictures too unless told); the canary is the small bank's,
    so it is left out.
    """
    import torch

    book = bundle.codebook
    wanted = {"picture_radius": radius if picture is None else picture, "question_radius": radius}
    radii = {
        name: torch.where(torch.isinf(getattr(book, name)), torch.inf, value)
        for name, value in wanted.items()
    }
    return replace(bundle, edits=replace(book, **radii), canary={}, manifest=replace(bundle.manifest))


def with_fact(bundle, name: str, **more):
    """The bundle with more told of one of its facts."""
    facts = [dict(row, **more) if row["id"] == name else row for row in bundle.manifest.facts]
    return replace(bundle, manifest=replace(bundle.manifest, facts=facts))
