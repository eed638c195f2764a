"""A fact as the samples that its edit is fitted to: the user's own, then templates, views and near negatives.

edit      the fact itself
positive  must give the new answer: rephrased, seen in another view, both
negative  must keep the model's own answer: {edit, view, other, no} picture x {edit, other} question
holdout   the user's, never fitted to: what a report is made from
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from okedit_cli.bounded import Bounded
from okedit_cli.errors import InvalidFacts
from okedit_cli.facts import Fact
from okedit_cli.facts.pictures import held_bytes, load_picture
from okedit_cli.samples.negatives import Asked, Nearest, Surroundings, negatives_of
from okedit_cli.samples.templates import rephrase
from okedit_cli.samples.transforms import views
from okedit_cli.samples.wording import normal

Role = Literal["edit", "positive", "negative", "holdout"]
REPHRASES, TEXT_REPHRASES, VIEWS, CROSSED = 6, 8, 7, 2
CHECKED = 6  # positives of a fact that are generated
MET, PICTURE_BYTES = 32, 256 << 20  # pictures shown at a time; of opened pictures that are kept

# Words of a question whose answer a mirrored or recoloured picture would change.
_SIDES = (
    r"\b(?:left|right|side|read|written|writing|text|words?|letters?|say|sign|number|time|clock|flag|plate)\b"
)
_COLOURS = r"\b(?:colou?r\w*|shade|tint|red|blue|green|yellow|orange|purple|pink|brown|flag|dark|bright)\b"


@dataclass(frozen=True, eq=False)
class Sample:
    fact_id: str
    role: Role
    prompt: str
    picture: Image.Image | None
    target: str | None  # None: the model's own answer, whatever it is
    cell: str  # "<picture>/<question>": {edit, view, other, none} / {edit, rephrase, other}
    origin: str  # "user", "template", "transform", "bank" or "file" (the other facts of the file)


class Sampler:
    """Samples of facts, made when they are asked for, so that views of few facts are in memory at a time.
    Deterministic by facts and seed.

    `nearest` ranks the bank's pictures (indices, near first) for a picture, in the caller's space; without it
    the words of the question choose. `meet` is shown the facts' own pictures before, MET at a time. `among`:
    all facts of the file where `facts` are some of them, which near negatives come from as well.
    InvalidFacts, before anything is made: a picture cannot be read, or a fact contradicts itself.
    """

    def __init__(
        self,
        facts: Sequence[Fact],
        *,
        seed: int = 0,
        nearest: Nearest | None = None,
        meet: Callable[[Sequence], None] = lambda pictures: None,
        among: Sequence[Fact] = (),
    ):
        self._read, self._seed = _bounded_reader(), seed
        self._around = Surroundings(among or facts, self._read, nearest)
        for fact in facts:
            _kept(fact, self._read)
            for path in (*fact.images, *(question.image for question in fact.holdout)):
                self._read(path)
        own = [fact.image for fact in facts if fact.image is not None]
        for start in range(0, len(own), MET):
            meet([self._read(path) for path in own[start : start + MET]])

    def of(self, fact: Fact) -> list[Sample]:
        """Edit, positives, negatives and holdouts of one of the facts."""
        return _samples_of(fact, self._around, self._read, self._seed)


def build_samples(facts: Sequence[Fact], **options: Any) -> dict[str, list[Sample]]:
    """Fact id -> its samples, of all facts at once; the options are Sampler's."""
    sampler = Sampler(facts, **options)
    return {fact.id: sampler.of(fact) for fact in facts}


def checked(samples: Sequence[Sample]) -> list[Sample]:
    """What of a fact's samples is looked at once it is fitted: the edit, CHECKED positives, the user's own
    first, and the negatives.
    """
    positives = sorted((s for s in samples if s.role == "positive"), key=lambda s: s.origin != "user")
    edits, negatives = ([s for s in samples if s.role == role] for role in ("edit", "negative"))
    return [*edits, *positives[:CHECKED], *negatives]


def _bounded_reader() -> Callable:
    """load_picture that reads a path once, as long as what it has read is not too much."""
    kept = Bounded()

    def read(path: Path | None) -> Image.Image | None:
        if path is None:
            return None
        if path not in kept:
            picture = load_picture(path)
            kept.put(path, picture, held_bytes(picture), PICTURE_BYTES)
        return kept[path]

    return read


def _samples_of(fact: Fact, around: Surroundings, read: Callable, seed: int) -> list[Sample]:
    chance = random.Random(f"{seed}:{fact.id}")
    edit = Asked(fact.prompt, read(fact.image), _cell(fact, fact.image, fact.prompt), "user")
    out = [_sample(fact, "edit", edit)]
    out += [_sample(fact, "positive", asked) for asked in _positives(fact, read, seed)]
    out += [_sample(fact, "negative", asked) for asked in _kept(fact, read)]
    taken = {(normal(s.prompt), id(s.picture)) for s in out}
    for asked in negatives_of(fact, around, chance):
        if (normal(asked.prompt), id(asked.picture)) not in taken:
            taken.add((normal(asked.prompt), id(asked.picture)))
            out.append(_sample(fact, "negative", asked))
    for question in fact.holdout:
        cell = _cell(fact, question.image, question.prompt, other_picture="view", other_question="rephrase")
        out.append(_sample(fact, "holdout", Asked(question.prompt, read(question.image), cell, "user")))
    return out


def _sample(fact: Fact, role: Role, asked: Asked) -> Sample:
    target = None if role == "negative" else fact.answer
    return Sample(fact.id, role, asked.prompt, asked.picture, target, asked.cell, asked.origin)


def _cell(
    fact: Fact,
    image: Path | None,
    prompt: str,
    *,
    other_picture: str = "other",
    other_question: str = "other",
) -> str:
    """Where a question of the user's stands in the grid of its fact."""
    picture = "none" if image is None else "edit" if image == fact.image else other_picture
    if image is not None and image in fact.images:
        picture = "view"
    text = normal(prompt)
    if text == normal(fact.prompt):
        question = "edit"
    else:
        question = "rephrase" if text in {normal(r) for r in fact.rephrases} else other_question
    return f"{picture}/{question}"


def _positives(fact: Fact, read: Callable, seed: int) -> list[Asked]:
    """The user's rephrases and views, then templates (6), views (7), and both at once (2)."""
    picture = read(fact.image)
    own = "none" if picture is None else "edit"
    wanted = TEXT_REPHRASES if picture is None else REPHRASES
    templates = _templates(fact)[:wanted]
    out = [Asked(text, picture, f"{own}/rephrase", "user") for text in dict.fromkeys(fact.rephrases)]
    out += [Asked(fact.prompt, read(path), "view/edit", "user") for path in fact.images]
    out += [Asked(text, picture, f"{own}/rephrase", "template") for text in templates]
    if picture is None:
        return out
    mirror = not re.search(_SIDES, fact.prompt, re.IGNORECASE)
    recolour = not re.search(_COLOURS, fact.prompt, re.IGNORECASE)
    seen = views(picture, VIEWS, seed + zlib.crc32(fact.id.encode()), mirror=mirror, recolour=recolour)
    out += [Asked(fact.prompt, view, "view/edit", "transform") for view in seen]
    # the user's own view is worth more than a transformed one, as the user's wording is more than a template
    both = [*(read(path) for path in fact.images), *reversed(seen)][:CROSSED]
    wordings = [*fact.rephrases, *templates]
    out += [Asked(wordings[-1 - i], view, "view/rephrase", "transform") for i, view in enumerate(both)]
    return out


def _templates(fact: Fact) -> list[str]:
    """Rephrasings by template that are neither the user's own nor held out."""
    known = {fact.prompt, *fact.rephrases}
    held_out = {normal(question.prompt) for question in (*fact.holdout, *fact.related)}
    held_out -= {normal(text) for text in known}
    return [text for text in rephrase(fact.prompt, 40) if text not in known and normal(text) not in held_out]


def _kept(fact: Fact, read: Callable) -> list[Asked]:
    """The user's keeps; InvalidFacts for one that asks what the fact changes."""
    out = []
    for question in fact.keep:
        cell = _cell(fact, question.image, question.prompt)
        in_scope = cell.split("/")[0] in ("edit", "view") and not cell.endswith("other")
        if in_scope or (fact.image is None and cell in ("none/edit", "none/rephrase")):
            raise InvalidFacts(
                f"fact {fact.id} (line {fact.line}) keeps what it changes: {question.prompt!r} "
                "about the same picture stands both in keep and among its prompts.",
                hint="take it out of keep, or give it another picture.",
            )
        out.append(Asked(question.prompt, read(question.image), cell, "user"))
    return out
