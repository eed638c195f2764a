"""Photographs of nobody's: they take what lies nearer to them, from edits that go by looks alone."""

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
from okedit_cli.models.mini.looks import LOOK_WIDTH, stranger_looks
from okedit_cli.models.recognition import NAME_WIDTH, name_vector
from okedit_cli.strangers import RATIO, TWIN, estranged

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


def asked(monkeypatch, book, picture, *others, row=0):
    monkeypatch.setattr(strangers, "has_learned_looks", lambda loaded: True)
    monkeypatch.setattr(
        strangers, "stranger_looks", lambda: torch.stack([torch.zeros(LOOK_WIDTH), *others])[1:]
    )
    return estranged(None, SimpleNamespace(codebook=book), row, picture)


def test_what_looks_more_like_a_stranger_is_not_the_edits(monkeypatch):
    book, other = book_of(key(0.0), key(9.0, name="cat")), look_at(2.0)
    assert not asked(monkeypatch, book, shown(0.0), other)
    assert not asked(monkeypatch, book, shown(0.9), other)  # 0.9 of 1.1
    assert asked(monkeypatch, book, shown(0.97), other)  # 0.97 of 1.03
    assert asked(monkeypatch, book, shown(1.5), other)
    # what has a name goes by it, and a picture that there is not looks like nothing
    assert not asked(monkeypatch, book, shown(1.5), other, row=1)
    assert not asked(monkeypatch, book, None, other)


def test_the_nearest_key_and_the_nearest_stranger_count(monkeypatch):
    book = book_of(torch.cat([key(0.0), key(3.0)]))
    assert not asked(monkeypatch, book, shown(2.6), look_at(1.5), look_at(9.0))
    assert asked(monkeypatch, book, shown(2.0), look_at(1.5), look_at(9.0))
    assert not asked(monkeypatch, book, shown(2.0), look_at(9.0)) and not asked(monkeypatch, book, shown(2.0))


def test_a_stranger_that_may_show_the_edits_own_picture_is_none(monkeypatch):
    book = book_of(key(0.0))
    assert not asked(monkeypatch, book, shown(1.0), look_at(0.9 * TWIN))
    assert asked(monkeypatch, book, shown(1.0), look_at(1.1 * TWIN))


def test_in_another_space_nobody_is_a_stranger(monkeypatch):
    wide = POOLED + NAME_WIDTH + LOOK_WIDTH
    turned = torch.randn(wide, LOOK_WIDTH + NAME_WIDTH, generator=torch.Generator().manual_seed(0))
    assert not asked(monkeypatch, book_of(key(0.0), projection=turned), shown(1.5), look_at(2.0))
    monkeypatch.setattr(strangers, "stranger_looks", lambda: look_at(2.0)[None])
    monkeypatch.setattr(strangers, "has_learned_looks", lambda loaded: False)
    assert not estranged(None, SimpleNamespace(codebook=book_of(key(0.0))), 0, shown(1.5))


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
        monkeypatch.setattr("okedit_cli.outer.estranged", lambda loaded, bundle, row, picture: row == 0)
        with okedit_cli.attach(found.loaded, [found.bundle]):
            decisions = decide(found.loaded, found.questions)
    hits = [None if name == "cat" else name for name in found.hits]
    assert [d.hit and d.hit.edit_id for d in decisions] == hits and "capital" in hits
    [passed] = [d for d, name in zip(decisions, found.hits, strict=True) if name == "cat"]
    assert passed.nearest.edit_id == "cat" and "photograph" in passed.passed and passed.noted is None
    assert not any(d.passed for d in decisions if d is not passed)
    assert (PICTURED, tiny.picture().size) == (found.questions[0][0], found.questions[0][1].size)


def test_those_that_ship_lie_apart():
    looks = stranger_looks()
    assert looks.shape == (1000, LOOK_WIDTH) and bool(torch.isfinite(looks).all())
    apart = torch.cdist(looks, looks).fill_diagonal_(torch.inf).amin(1)
    assert float(apart.median()) > 2 * TWIN and RATIO < 1
