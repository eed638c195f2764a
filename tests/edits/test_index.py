"""The index decides as the codebook does, bit for bit, and rules out no edit that fires."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from okedit_cli.edits.codebook import Codebook
from okedit_cli.edits.index import Index
from okedit_cli.errors import InvalidBundle


def make_book(edits: int, keys: int, width: int, seed: int, spread: float = 0.3, open_share: float = 0.2):
    """Random edits; some have no keys, some one, some more, in no order; some radii are open or zero."""
    by = torch.Generator().manual_seed(seed)

    def channel() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        owner = torch.randint(edits, (keys,), generator=by)
        centre = torch.randn(edits, width, generator=by)
        radius = torch.rand(edits, generator=by) * width**0.5
        chance = torch.rand(edits, generator=by)
        radius[chance < open_share] = torch.inf
        radius[chance > 0.9] = 0
        return centre[owner] + spread * torch.randn(keys, width, generator=by), owner, radius

    picture, picture_owner, picture_radius = channel()
    question, question_owner, question_radius = channel()
    zero, eye = torch.zeros(width), torch.eye(width)
    return Codebook(
        zero, eye, zero, eye, picture, picture_owner, question, question_owner, picture_radius,
        question_radius, torch.zeros(edits, 1, 2), torch.zeros(edits, 1, 2), torch.zeros(edits, 2),
    )  # fmt: skip


def decided(book: Codebook, *prompt, strictness: float = 0.5):
    """What the codebook itself finds, where it fires."""
    found = book.match(*prompt, strictness)
    return found if found is not None and found.fires else None


@settings(max_examples=150, deadline=None)
@given(
    edits=st.integers(1, 40),
    keys=st.integers(0, 120),
    width=st.sampled_from([1, 3, 16, 63, 64, 100, 256]),
    seed=st.integers(0, 10**6),
    strictness=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    factor=st.sampled_from([1e-3, 0.3, 1.0, 1.0, 1.0, 50.0, 1e6]),
    pictured=st.booleans(),
    half=st.booleans(),
)
def test_every_decision_is_the_codebooks(edits, keys, width, seed, strictness, factor, pictured, half):
    book = make_book(edits, keys, width, seed)
    if half:
        book = replace(
            book, picture_keys=book.picture_keys.half(), question_keys=book.question_keys.bfloat16()
        )
    index = Index.build(book)
    by = torch.Generator().manual_seed(seed + 1)
    for _ in range(6):
        picture, question = factor * torch.randn(2, width, generator=by)
        if keys:  # near an edit, where decisions are made
            place = int(torch.randint(keys, (1,), generator=by))
            edit = book.question_owner[place]
            question = book.question_keys[place].float() + 0.1 * factor * question
            own = (book.picture_owner == edit).nonzero()[:, 0]
            if len(own):
                picture = book.picture_keys[own[0]].float() + 0.1 * factor * picture
        prompt = (picture if pictured else None), question
        assert index.match(*prompt, strictness) == decided(book, *prompt, strictness=strictness)
        passed = set()
        while (found := index.match(*prompt, strictness, passed)) is not None and len(passed) < 4:
            assert found.edit not in passed
            passed.add(found.edit)
            again = book.match(*prompt, strictness, passed)
            assert index.match(*prompt, strictness, passed) == (again if again.fires else None)
        if keys:
            held = index.holding(picture, question, strictness)
            assert held == book.holding(picture, question, strictness)
            for one, other in zip(
                index.showing(picture, strictness), book.showing(picture, strictness), strict=True
            ):
                assert torch.equal(one, other)
            assert all(match.picture_distance <= match.picture_radius < torch.inf for match in held)


@settings(max_examples=100, deadline=None)
@given(edits=st.integers(1, 30), keys=st.integers(1, 90), width=st.sampled_from([2, 8, 100]),
       seed=st.integers(0, 10**6))  # fmt: skip
def test_a_point_on_the_border_is_not_ruled_out(edits, keys, width, seed):
    """Radii that are exactly the distance to a point: the worst that rounding can meet."""
    book = make_book(edits, keys, width, seed, open_share=0)
    by = torch.Generator().manual_seed(seed)
    picture, question = 3 * torch.randn(2, width, generator=by)
    radii = {}
    for channel, point in (("picture", picture), ("question", question)):
        away = book._nearest(getattr(book, f"{channel}_keys"), getattr(book, f"{channel}_owner"), point)
        radii[f"{channel}_radius"] = away.nan_to_num(posinf=1.0)
    book = replace(book, **radii)
    index = Index.build(book)
    has = [torch.bincount(getattr(book, f"{c}_owner"), minlength=edits) > 0 for c in ("picture", "question")]
    inside = (has[0] & has[1]).nonzero()[:, 0].tolist()
    assert set(inside) <= set(index.candidates(picture, question).tolist())
    assert index.match(picture, question) == decided(book, picture, question)


def test_most_edits_are_ruled_out():
    """Of edits that lie apart few are left to be measured; a superset of all would pass every other test."""
    book = make_book(4000, 12000, 64, 0, spread=0.05, open_share=0)
    book = replace(book, picture_radius=torch.full((4000,), 3.0), question_radius=torch.full((4000,), 3.0))
    index = Index.build(book)
    picture, question = book.picture_keys[0], book.question_keys[0]
    assert len(index.candidates(picture, question)) < 40
    assert len(index.candidates(None, question)) == 0


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 3e38, -1e30])
def test_numbers_past_all_bounds(spoil):
    book = make_book(20, 60, 8, 4)
    book.question_keys[::7, 3] = spoil
    book.picture_keys[5] = spoil
    index = Index.build(book)
    for place in range(0, 60, 3):
        for picture in (book.picture_keys[place], None):
            question = book.question_keys[place]
            # as text, because NaN is not NaN
            assert repr(index.match(picture, question)) == repr(decided(book, picture, question))
    point = torch.full((8,), spoil)
    assert repr(index.match(point, point)) == repr(decided(book, point, point))


def test_no_edits_at_all():
    index = Index.build(make_book(1, 0, 4, 0))
    empty = replace(make_book(1, 0, 4, 0), picture_radius=torch.zeros(0), question_radius=torch.zeros(0),
                    value_down=torch.zeros(0, 1, 2), value_up=torch.zeros(0, 1, 2),
                    value_bias=torch.zeros(0, 2))  # fmt: skip
    assert index.match(None, torch.zeros(4)) == decided(index.book, None, torch.zeros(4))
    assert Index.build(empty).match(torch.zeros(4), torch.zeros(4)) is None


def test_an_index_from_its_tensors_is_the_same():
    book = make_book(30, 90, 20, 1)
    made = Index.build(book)
    again = Index.from_tensors(book, made.tensors())
    for place in range(90):
        prompt = book.picture_keys[place], book.question_keys[place]
        assert torch.equal(made.candidates(*prompt), again.candidates(*prompt))
    assert all(torch.equal(a, again.tensors()[name]) for name, a in made.tensors().items())


@pytest.mark.parametrize("name", sorted(Index.build(make_book(5, 9, 3, 0)).tensors()))
def test_tensors_that_do_not_fit(name):
    book = make_book(5, 9, 3, 0)
    tensors = Index.build(book).tensors()
    for wrong in (None, tensors[name].double(), torch.cat([tensors[name]] * 2)):
        spoilt = (
            {**tensors, name: wrong} if wrong is not None else {n: t for n, t in tensors.items() if n != name}
        )
        with pytest.raises(InvalidBundle, match=name):
            Index.from_tensors(book, spoilt)


def test_without_the_quick_product(monkeypatch):
    book = make_book(50, 150, 16, 2)
    quick = Index.build(book)
    prompts = [(book.picture_keys[place], book.question_keys[place]) for place in range(0, 150, 5)]
    found = [quick.candidates(*prompt).tolist() for prompt in prompts]

    def missing(*_):
        raise NotImplementedError

    monkeypatch.setattr("torch._int_mm", missing)
    slow = Index.from_tensors(book, quick.tensors())
    assert [slow.candidates(*prompt).tolist() for prompt in prompts] == found
