"""The examples that the repository carries are complete, legal to ship and apart from the reference bank."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from okedit_cli.bank import load_bank
from okedit_cli.facts import FactFile, load_facts
from okedit_cli.facts.pictures import load_picture
from okedit_cli.samples.sampler import build_samples
from okedit_cli.samples.templates import rephrase
from okedit_cli.samples.wording import normal

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def file() -> FactFile:
    return load_facts(EXAMPLES / "facts.yaml")


def test_at_least_eight_facts_on_pictures_and_two_on_text(file: FactFile):
    assert sum(fact.image is not None for fact in file.facts) >= 8
    assert sum(fact.image is None for fact in file.facts) >= 2


def test_every_fact_has_rephrases_keeps_and_holdouts(file: FactFile):
    for fact in file.facts:
        assert len(fact.rephrases) >= 2 and fact.keep and len(fact.holdout) >= 2, fact.id
        if fact.image is not None:
            assert fact.images and any(question.image != fact.image for question in fact.holdout), fact.id
            assert any(question.image != fact.image for question in fact.keep), fact.id


def test_held_out_is_new_in_wording_or_picture(file: FactFile):
    for fact in file.facts:
        given = {normal(text) for text in (fact.prompt, *fact.rephrases, *rephrase(fact.prompt, 6))}
        for question in fact.holdout:
            new_picture = question.image not in (fact.image, *fact.images)
            assert new_picture or normal(question.prompt) not in given, question.prompt


def test_answers_are_told_apart(file: FactFile):
    assert len({fact.answer.casefold() for fact in file.facts}) == len(file.facts)


def test_bank_shows_none_of_the_things(file: FactFile):
    names = {p.name for p in load_bank().pictures}
    shown = {re.sub(r"-\d$", "", path.stem) for path in (EXAMPLES / "images").iterdir()}
    assert not names & {name.replace("-", " ") for name in shown}
    ours = {load_picture(path).resize((32, 32)).tobytes() for path in (EXAMPLES / "images").iterdir()}
    assert not ours & {p.image.resize((32, 32)).tobytes() for p in load_bank().pictures}


def test_pictures_are_used_small_and_licensed(file: FactFile):
    paths = set((EXAMPLES / "images").iterdir())
    used = set()
    for fact in file.facts:
        used |= {fact.image, *fact.images, *(q.image for q in (*fact.keep, *fact.related, *fact.holdout))}
    assert {path.name for path in paths} == {path.name for path in used if path}
    assert sum(path.stat().st_size for path in paths) < 1_500_000
    licences = (EXAMPLES / "README.md").read_text(encoding="utf-8").split("Where the pictures come from")[1]
    for path in paths:
        family = path.stem.split("-")[0]
        assert re.search(rf"[` ]{path.stem}[` ]|`{family}\*", licences), path.name


def test_samples_can_be_made_of_all(file: FactFile):
    samples = build_samples(file.facts)
    for fact in file.facts:
        roles = [sample.role for sample in samples[fact.id]]
        assert roles.count("edit") == 1 and roles.count("positive") >= 8 and roles.count("negative") >= 10
        assert roles.count("holdout") == len(fact.holdout)
