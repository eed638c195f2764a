"""The reference bank is large, varied and near enough to be hard."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from okedit_cli.bank import FOLDER, load_bank
from okedit_cli.samples.wording import normal


def test_questions_are_many_and_each_stands_in_one_group():
    bank = load_bank()
    wordings = [w for group in bank.questions for w in group.wordings]
    assert len(bank.questions) >= 150 and 1200 <= len(wordings) <= 3000
    assert all(6 <= len(group.wordings) <= 10 for group in bank.questions)
    assert len({normal(w) for w in wordings}) == len(wordings)
    assert len({(group.intent, group.subject) for group in bank.questions}) == len(bank.questions)


def test_half_ask_about_the_picture():
    about = [group.about_picture for group in load_bank().questions]
    assert 0.35 < sum(about) / len(about) < 0.65


def test_both_kinds_of_near_miss_are_plenty():
    groups = load_bank().questions
    by_intent, by_subject = Counter(g.intent for g in groups), Counter(g.subject for g in groups)
    assert sum(by_intent[g.intent] > 1 for g in groups) > 0.75 * len(groups)
    assert sum(by_subject[g.subject] > 1 for g in groups) > 0.9 * len(groups)
    capitals = {g.subject for g in groups if g.intent == "capital"}
    assert {"France", "Germany", "Peru"} <= capitals


def test_finds_the_group_of_a_question_in_any_case():
    group = load_bank().group_of("what's the capital of PERU")
    assert (group.intent, group.subject, group.noun) == ("capital", "Peru", None)
    assert load_bank().group_of("How is the weather on Mars?") is None


def test_pictures_are_small_varied_and_in_near_pairs():
    pictures = load_bank().pictures
    assert len(pictures) == 96 and len({p.name for p in pictures}) == 96
    assert all(p.image.mode == "RGB" and 96 <= max(p.image.size) <= 128 for p in pictures)
    assert len({p.image.tobytes() for p in pictures}) == 96
    assert sum(n > 1 for n in Counter(p.group for p in pictures).values()) >= 24
    assert sum(path.stat().st_size for path in Path(FOLDER, "pictures").iterdir()) < 1_200_000


def test_every_picture_states_its_source_and_licence():
    licences = (FOLDER / "pictures/LICENCES.md").read_text(encoding="utf-8")
    assert all(word in licences for word in ("Noto", "Fluent", "flag-icons", "Apache-2.0", "MIT", "CC0"))
    listed = {p.name for p in (FOLDER / "pictures").glob("*.png")}
    assert len(listed) == 96


def test_version_is_stable():
    assert load_bank() is load_bank()
    assert len(load_bank().version) == 12
