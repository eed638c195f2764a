"""Strangers and rivals: they take what lies nearer to them, from edits that reach it."""

from types import SimpleNamespace

import pytest
import tiny
import torch
from fitted import PICTURED, fitted, world
from hypothesis import given
from hypothesis import strategies as st

import okedit_cli
from okedit_cli import strangers
from okedit_cli.edits.codebook import Codebook
from okedit_cli.generate import decide
from okedit_cli.models.mini.looks import LOOK_WIDTH, stranger_looks, stranger_names
from okedit_cli.models.recognition import NAME_WIDTH, name_vector
from okedit_cli.strangers import RIVAL, STRANGE, TWIN, estranged

POOLED = 4


def book_of(*edits, projection=None):
    """A codebook in the learned space; each edit is its keys [k, LOOK_WIDTH + NAME_WIDTH]."""
    width, wide = LOOK_WIDTH + NAME_WIDTH, POOLED + NAME_WIDTH + LOOK_WIDTH
    if projection is None:
        projection = torch.zeros(wide, width)
        projection[-LOOK_WIDTH:, :LOOK_WIDTH] = torch.eye(LOOK_WIDTH)
        projection[POOLED : POOLED + NAME_WIDTH, LOOK_WIDTH:] = torch.eye(NAME_WIDTH)
    owner = torch.tensor([row for row, keys in enumerate(edits) for _ in keys], dtype=torch.int64)
    none, open_ = torch.zeros(len(edits), 1, 2), torch.full((len(edits),), 9.0)
    return Codebook(
        torch.zeros(wide), projection, torch.zeros(2), torch.eye(2), torch.cat(edits), owner,
        torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), open_, open_, none, none,
        torch.zeros(len(edits), 2),
    )  # fmt: skip


def look_at(*places):
    """A look with these first coordinates."""
    return torch.cat([torch.tensor(places), torch.zeros(LOOK_WIDTH - len(places))])


def key(*places, name=""):
    return torch.cat([look_at(*places), name_vector(name)])[None]


def shown(*places, name="cat"):
    """A picture's vector."""
    return torch.cat([torch.ones(POOLED), name_vector(name), look_at(*places)])


def bundle_of(book, answers=()):
    """A bundle whose edits have these answers, or each its own."""
    facts = [{"answer": answer} for answer in answers or (f"{id(book)} {row}" for row in range(len(book)))]
    return SimpleNamespace(codebook=book, manifest=SimpleNamespace(facts=facts), index=lambda: None)


def asked(monkeypatch, books, picture, *others, row=0, number=0, name="", answers=()):
    """Whether an edit is estranged from a picture, among strangers with these looks and this name."""
    bundles = [bundle_of(book, answers) for book in (books if isinstance(books, list) else [books])]
    looks, names = torch.zeros(0, LOOK_WIDTH), name_vector(name).expand(len(others), -1)
    monkeypatch.setattr(strangers, "has_learned_looks", lambda loaded: True)
    monkeypatch.setattr(strangers, "stranger_looks", lambda: torch.stack(others) if others else looks)
    monkeypatch.setattr(strangers, "_stranger_names", lambda: names)
    return estranged(None, bundles, [0.5] * len(bundles), (number, row), picture)


def test_what_looks_more_like_a_stranger_is_not_the_edits(monkeypatch):
    book, other = book_of(key(0.0)), look_at(2.0)
    assert not asked(monkeypatch, book, shown(0.0), other)
    assert not asked(monkeypatch, book, shown(0.9), other)  # 0.9 of 1.1
    assert asked(monkeypatch, book, shown(0.95), other)  # 0.95 of 1.05
    assert asked(monkeypatch, book, shown(1.5), other)
    assert not asked(monkeypatch, book, None, other)  # a picture that there is not looks like nothing


def test_what_bears_the_edits_name_is_parted_by_look_and_name(monkeypatch):
    book, other = book_of(key(0.0, name="cat")), look_at(2.0)
    assert asked(monkeypatch, book, shown(1.5), other, name="cat")
    assert not asked(monkeypatch, book, shown(0.9), other, name="cat")
    assert not asked(monkeypatch, book, shown(0.95), other)  # whom nobody calls a cat
    assert asked(monkeypatch, book, shown(0.95), other, name="cat")


@pytest.mark.parametrize("name", ["dog", ""])
def test_what_bears_another_name_is_parted_by_looks(monkeypatch, name):
    book, other = book_of(key(0.0, name="cat")), look_at(2.0)
    for called in ("dog", "cat", ""):
        assert not asked(monkeypatch, book, shown(0.9, name=name), other, name=called)
        assert asked(monkeypatch, book, shown(0.95, name=name), other, name=called)


def test_the_nearest_key_and_the_nearest_stranger_count(monkeypatch):
    book = book_of(torch.cat([key(0.0), key(3.0)]))
    assert not asked(monkeypatch, book, shown(2.6), look_at(1.5), look_at(9.0))
    assert asked(monkeypatch, book, shown(2.0), look_at(1.5), look_at(9.0))
    assert not asked(monkeypatch, book, shown(2.0), look_at(9.0)) and not asked(monkeypatch, book, shown(2.0))


def test_a_stranger_that_may_show_the_edits_own_picture_is_none(monkeypatch):
    book = book_of(key(0.0))
    assert not asked(monkeypatch, book, shown(1.0), look_at(0.9 * TWIN))
    assert asked(monkeypatch, book, shown(1.0), look_at(1.1 * TWIN))


@pytest.mark.parametrize("name", ["", "dog"])
def test_what_looks_more_like_another_edits_picture_is_not_the_edits(monkeypatch, name):
    """In one bundle or in two, whatever the other's is called."""
    first, second = key(0.0), key(2.0, name=name)
    for books in ([book_of(first, second)], [book_of(first), book_of(second)]):
        for place in (0.0, 0.5, 0.95, 1.02, 1.5, 2.0):
            assert asked(monkeypatch, books, shown(place)) == (place > RIVAL * (2.0 - place))


def test_of_two_edits_that_go_by_looks_one_at_most_has_a_picture(monkeypatch):
    book = book_of(key(0.0), key(2.0))
    for place, expected in ((0.0, [0, 1]), (0.9, [0, 1]), (1.0, [1, 1]), (1.02, [1, 1]), (1.1, [1, 0])):
        assert [asked(monkeypatch, book, shown(place), row=row) for row in (0, 1)] == expected


def test_what_bears_the_edits_name_has_no_rivals(monkeypatch):
    book = book_of(key(0.0, name="cat"), key(2.0), key(2.0, name="cat"))
    assert not asked(monkeypatch, book, shown(1.9)) and asked(monkeypatch, book, shown(1.9, name="dog"))
    assert asked(monkeypatch, book, shown(0.1), row=1)


def test_an_edit_whose_picture_channel_is_open_answers_whatever_is_shown(monkeypatch):
    book = book_of(key(0.0), key(2.0))
    book.picture_radius[0] = torch.inf
    assert not asked(monkeypatch, book, shown(1.9), look_at(2.0))
    assert asked(monkeypatch, book, shown(0.1), look_at(0.0), row=1)


def test_edits_with_the_same_answer_or_the_same_picture_are_no_rivals(monkeypatch):
    book = book_of(key(0.0), key(2.0))
    assert not asked(monkeypatch, book, shown(1.5), answers=["Rex", " rex "])
    assert asked(monkeypatch, book, shown(1.5), answers=["Rex", "Bello"])
    same = book_of(torch.cat([key(0.0), key(9.0)]), torch.cat([key(2.0), key(0.9 * TWIN)]))
    assert not asked(monkeypatch, same, shown(1.5)) and not asked(monkeypatch, same, shown(0.1), row=1)


def test_in_another_space_nobody_is_a_stranger(monkeypatch):
    wide = POOLED + NAME_WIDTH + LOOK_WIDTH
    turned = torch.randn(wide, LOOK_WIDTH + NAME_WIDTH, generator=torch.Generator().manual_seed(0))
    assert not asked(monkeypatch, book_of(key(0.0), projection=turned), shown(1.5), look_at(2.0))
    monkeypatch.setattr(strangers, "stranger_looks", lambda: look_at(2.0)[None])
    monkeypatch.setattr(strangers, "has_learned_looks", lambda loaded: False)
    assert not estranged(None, [bundle_of(book_of(key(0.0)))], [0.5], (0, 0), shown(1.5))


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.integers(0, 10**6), st.integers(1, 9))
def test_one_more_stranger_never_makes_room(place, seed, count):
    with pytest.MonkeyPatch.context() as patch:
        near = torch.zeros(count, LOOK_WIDTH)
        near[:, :2] = 3 * torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
        found = [asked(patch, book_of(key(0.0)), shown(*place), *near[:some]) for some in range(count + 1)]
        assert found == sorted(found)


def test_what_is_let_pass_is_not_answered_and_not_told(monkeypatch):
    """Whatever family decides: the edit does not fire, and says why; the rest is as it was."""
    with world():
        found = fitted("llava")
        monkeypatch.setattr(
            "okedit_cli.outer.estranged", lambda loaded, bundles, strictness, edit, picture: edit[1] == 0
        )
        with okedit_cli.attach(found.loaded, [found.bundle]):
            decisions = decide(found.loaded, found.questions)
    hits = [None if name == "cat" else name for name in found.hits]
    assert [d.hit and d.hit.edit_id for d in decisions] == hits and "capital" in hits
    [passed] = [d for d, name in zip(decisions, found.hits, strict=True) if name == "cat"]
    assert passed.nearest.edit_id == "cat" and "looks more like" in passed.passed and passed.noted is None
    assert not any(d.passed for d in decisions if d is not passed)
    assert (PICTURED, tiny.picture().size) == (found.questions[0][0], found.questions[0][1].size)


def test_those_that_ship_lie_apart():
    looks = stranger_looks()
    assert looks.shape == (1000, LOOK_WIDTH) and bool(torch.isfinite(looks).all())
    apart = torch.cdist(looks, looks).fill_diagonal_(torch.inf).amin(1)
    assert float(apart.median()) > 2 * TWIN and STRANGE < RIVAL < 1
    assert len(stranger_names()) == 1000 and 0.5 < sum(map(bool, stranger_names())) / 1000
