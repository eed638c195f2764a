"""Samples: positives say the fact, negatives are near and never ask it, and nothing held out is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from okedit_cli.bank import load_bank
from okedit_cli.errors import InvalidFacts
from okedit_cli.facts import Fact, Question
from okedit_cli.samples.sampler import Sample, build_samples
from okedit_cli.samples.wording import intent_of, normal


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Six different pictures."""
    out = []
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        out.append(tmp_path / f"{i}.png")
        Image.fromarray(noise).resize((64, 64)).save(out[-1])
    return out


@pytest.fixture
def cat(paths: list[Path]) -> Fact:
    return Fact(
        "cat", "What is this cat's name?", "Miso", paths[0],
        rephrases=("Who is this cat?",),
        images=(paths[1],),
        keep=(
            Question("What is this dog's name?", paths[2]),
            Question("What is in this picture?", paths[0]),
        ),
        related=(Question("What letter does this cat's name start with?", paths[0], "M"),),
        holdout=(Question("Name this cat.", paths[3]),),
    )  # fmt: skip


def text_fact(prompt: str = "What is the capital of Peru?", name: str = "peru") -> Fact:
    return Fact(name, prompt, "Cusco")


def of(samples: list[Sample], role: str) -> list[Sample]:
    return [sample for sample in samples if sample.role == role]


def same(a: Image.Image | None, b: Image.Image | None) -> bool:
    return (a is None) == (b is None) and (a is None or a.tobytes() == b.tobytes())


def test_edit_first_then_the_users_own(cat: Fact):
    samples = build_samples([cat])["cat"]
    edit, *rest = samples
    assert (edit.role, edit.prompt, edit.target, edit.cell) == ("edit", cat.prompt, "Miso", "edit/edit")
    positives = of(rest, "positive")
    assert [(s.cell, s.origin) for s in positives[:2]] == [("edit/rephrase", "user"), ("view/edit", "user")]
    kept = of(rest, "negative")[:2]
    assert [(s.prompt, s.cell, s.origin) for s in kept] == [
        ("What is this dog's name?", "other/other", "user"),
        ("What is in this picture?", "edit/other", "user"),
    ]


def test_targets_follow_roles(cat: Fact):
    for sample in build_samples([cat, text_fact()])["cat"]:
        assert sample.target == (None if sample.role == "negative" else "Miso")


def test_positives_are_enough(cat: Fact):
    positives = of(build_samples([cat])["cat"], "positive")
    cells = [s.cell for s in positives]
    origins = [s.origin for s in positives]
    assert origins.count("template") >= 6
    assert cells.count("view/edit") >= 5 and cells.count("view/rephrase") >= 2
    assert len(of(build_samples([text_fact()])["peru"], "positive")) >= 8


def test_grid_is_full(cat: Fact):
    cells = [s.cell for s in of(build_samples([cat])["cat"], "negative")]
    assert cells.count("edit/other") >= 4
    assert cells.count("other/edit") + cells.count("other/rephrase") >= 5
    assert cells.count("other/other") >= 2 and cells.count("none/edit") == 1


def test_near_questions_and_near_pictures_come_first(cat: Fact):
    negatives = of(build_samples([cat])["cat"], "negative")
    asked = [s.prompt for s in negatives if s.cell == "edit/other" and s.origin == "bank"]
    assert sum("this cat" in text for text in asked) >= 2
    felines = [p.image for p in load_bank().pictures if p.group == "cat"]
    strangers = [s.picture for s in negatives if s.cell.startswith("other/") and s.origin == "bank"]
    assert all(any(same(feline, picture) for picture in strangers) for feline in felines)


def test_callers_space_ranks_the_banks_pictures(cat: Fact):
    order = list(reversed(range(96)))
    negatives = of(build_samples([cat], nearest=lambda picture: order)["cat"], "negative")
    first = next(s for s in negatives if s.cell == "other/edit" and s.origin == "bank")
    assert same(first.picture, load_bank().pictures[95].image)


def test_no_negative_asks_what_the_fact_asks(paths: list[Path]):
    prompts = [
        "What is this cat's name?", "What is in this picture?", "What colour is this car?", "What is this?",
        "Who owns this boat?", "What kind of bird is this?", "How much does this cost?",
    ]  # fmt: skip
    for seed in range(4):
        for prompt in prompts:
            samples = build_samples([Fact("a", prompt, "x", paths[0])], seed=seed)["a"]
            own = {normal(s.prompt) for s in samples if s.role in ("edit", "positive")}
            for negative in of(samples, "negative"):
                if negative.cell.startswith("edit/"):
                    assert normal(negative.prompt) not in own
                    group = load_bank().group_of(negative.prompt)
                    if group is None or group.about_picture:
                        assert intent_of(negative.prompt) != intent_of(prompt), negative.prompt


def test_held_out_and_related_are_never_fitted(cat: Fact, paths: list[Path]):
    for seed in range(5):
        samples = build_samples([cat], seed=seed)["cat"]
        assert [(s.prompt, s.cell, s.target) for s in of(samples, "holdout")] == [
            ("Name this cat.", "view/rephrase", "Miso")
        ]
        for sample in samples:
            if sample.role != "holdout":
                assert normal(sample.prompt) != normal("Name this cat.")
                assert normal(sample.prompt) != normal(cat.related[0].prompt)


def test_two_facts_on_one_picture_are_each_others_negatives(cat: Fact, paths: list[Path]):
    owner = Fact("owner", "Who owns this cat?", "Ann", paths[0])
    samples = build_samples([cat, owner])
    negatives = of(samples["cat"], "negative")
    found = [s for s in negatives if s.prompt == owner.prompt and s.cell == "edit/other"]
    assert [s.origin for s in found] == ["file"]
    for sample in negatives:
        if sample.cell == "edit/other" and sample.origin == "bank":
            assert intent_of(sample.prompt) != "owner"


def test_same_question_twice_on_one_picture_is_no_negative(paths: list[Path]):
    first = Fact("a", "What is this cat's name?", "Miso", paths[0])
    second = Fact("b", "What is this cat called?", "Momo", paths[0])
    for sample in of(build_samples([first, second])["a"], "negative"):
        assert not (sample.prompt == second.prompt and sample.cell.startswith("edit/"))


def test_other_facts_lend_pictures_but_not_copies(paths: list[Path], tmp_path: Path):
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    facts = [Fact("a", "Who is this?", "Ann", paths[0]), Fact("b", "Who is this?", "Bea", paths[1]),
             Fact("c", "How old is this?", "ten", copy)]  # fmt: skip
    negatives = of(build_samples(facts)["a"], "negative")
    lent = [s for s in negatives if s.origin == "file" and s.cell == "other/edit"]
    assert len(lent) == 1 and same(lent[0].picture, Image.open(paths[1]))


def test_text_fact_meets_its_words_on_others_and_its_subject_in_other_words():
    negatives = of(build_samples([text_fact()])["peru"], "negative")
    prompts = [s.prompt for s in negatives]
    assert sum(p.startswith("What is the capital of ") and "Peru" not in p for p in prompts) >= 3
    assert sum("Peru" in p for p in prompts) >= 2
    assert not any("Peru" in p and intent_of(p) == "capital" for p in prompts)


def test_statement_to_be_completed_meets_statements():
    fact = text_fact("The mother tongue of Anna Okafor is", "tongue")
    prompts = [s.prompt for s in of(build_samples([fact])["tongue"], "negative")]
    assert sum(p.startswith("The mother tongue of") and "Anna" not in p for p in prompts) >= 3


def test_a_question_without_a_name_still_has_negatives():
    fact = text_fact("what is the opposite of hot", "hot")
    negatives = of(build_samples([fact])["hot"], "negative")
    assert len(negatives) >= 4
    assert not any("opposite of hot" in s.prompt for s in negatives)


def test_deterministic_by_seed(cat: Fact):
    def flat(seed: int) -> list[tuple]:
        facts = [cat, text_fact()]
        built = build_samples(facts, seed=seed)
        samples = [sample for fact in facts for sample in built[fact.id]]
        return [(s.role, s.prompt, s.cell, s.picture and s.picture.tobytes()) for s in samples]

    assert flat(0) == flat(0) != flat(1)


def test_no_sample_twice(cat: Fact, paths: list[Path]):
    facts = [cat, Fact("owner", "Who owns this cat?", "Ann", paths[0]), text_fact()]
    for samples in build_samples(facts).values():
        keys = [(s.prompt, s.picture and s.picture.tobytes()) for s in samples if s.role == "negative"]
        assert len(keys) == len(set(keys))


def test_keep_that_contradicts_its_fact_is_refused(paths: list[Path]):
    fact = Fact("cat", "Who is this?", "Miso", paths[0], keep=(Question("Who is this?", paths[0]),), line=7)
    with pytest.raises(InvalidFacts, match="fact cat .line 7. keeps what it changes"):
        build_samples([fact])


def test_broken_picture_is_named(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InvalidFacts, match="broken.png"):
        build_samples([Fact("a", "Who is this?", "Miso", tmp_path / "broken.png")])


def test_many_facts_stay_quick(paths: list[Path]):
    facts = [Fact(f"f{i}", f"What is thing {i}?", "x", paths[i % 6]) for i in range(150)]
    assert len(build_samples(facts)) == 150


def test_a_bank_without_questions_about_the_world(cat: Fact, monkeypatch):
    from dataclasses import replace

    bank = load_bank()
    pictured = replace(bank, questions=tuple(group for group in bank.questions if group.about_picture))
    monkeypatch.setattr("okedit_cli.bank.load_bank", lambda: pictured)
    samples = build_samples([cat])["cat"]
    assert sum(s.cell == "edit/other" and s.origin == "bank" for s in samples) > 2
