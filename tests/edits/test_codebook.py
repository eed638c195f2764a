"""The codebook's laws: the deepest wins, open channels are open, strictness narrows, far edits do nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.edits import codebook
from okedit_cli.edits.codebook import Codebook
from okedit_cli.errors import InvalidBundle

SIZE, RANK, WIDTH = 4, 2, 3


@st.composite
def books(draw, least=1):
    """Codebooks of a few edits, each with one to three keys a channel, some channels open."""
    count = draw(st.integers(least, 6))
    noise = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tensors = {}
    for channel in ("picture", "question"):
        keys = [draw(st.integers(1, 3)) for _ in range(count)]
        radius = torch.rand(count, generator=noise) * 4
        opened = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        radius[torch.tensor(opened, dtype=torch.bool)] = torch.inf
        tensors |= {
            f"{channel}_mean": torch.randn(SIZE, generator=noise),
            f"{channel}_projection": torch.eye(SIZE),
            f"{channel}_keys": torch.randn(sum(keys), SIZE, generator=noise),
            f"{channel}_owner": torch.arange(count).repeat_interleave(torch.tensor(keys)),
            f"{channel}_radius": radius,
        }
    return Codebook.from_tensors(
        tensors
        | {
            "value_down": torch.zeros(count, RANK, WIDTH),
            "value_up": torch.zeros(count, RANK, WIDTH),
            "value_bias": torch.zeros(count, WIDTH),
        }
    )


@st.composite
def prompts(draw):
    """(picture feature or None, question feature)"""
    noise = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    picture, question = torch.randn(2, SIZE, generator=noise)
    return (picture if draw(st.booleans()) else None), question


def by_hand(book, picture, question, edit):
    """The edit's reach for a prompt."""
    out = []
    for channel, feature in (("picture", picture), ("question", question)):
        radius = float(getattr(book, f"{channel}_radius")[edit])
        if radius == float("inf"):
            out.append(0.0)
        elif feature is None or radius == 0:
            out.append(float("inf"))
        else:
            keys = getattr(book, f"{channel}_keys")[getattr(book, f"{channel}_owner") == edit]
            point = feature - getattr(book, f"{channel}_mean")
            out.append(min(float((key - point).norm()) for key in keys) / radius)
    return max(out)


@given(books(), prompts())
def test_what_fires_wins_and_else_the_nearest(book, prompt):
    match = book.match(*prompt)
    reaches = [by_hand(book, *prompt, edit) for edit in range(len(book))]
    assert match.fires == (min(reaches) <= 1) == (reaches[match.edit] <= 1)
    if not match.fires:
        assert reaches[match.edit] == pytest.approx(min(reaches), rel=1e-4)
    assert match.reach == pytest.approx(reaches[match.edit], rel=1e-4)


def test_own_picture_in_other_words_is_deeper_than_another_picture_in_the_same():
    """(distance, radius) of each edit by channel: a ball whose border is near loses to one well inside."""
    picture, question = torch.tensor([[0.0, 1.0], [0.8, 1.0]]).T, torch.tensor([[0.9, 1.0], [0.1, 1.0]]).T
    assert codebook.winner(tuple(picture), tuple(question)) == 0
    # of one picture the question decides
    assert codebook.winner(tuple(torch.tensor([[0.3, 1.0]] * 2).T), tuple(question)) == 1
    # an edit that is open to every picture loses to one that knows this picture
    opened = torch.tensor([[0.5, 1.0], [torch.inf, torch.inf]]).T
    assert codebook.winner(tuple(opened), tuple(torch.tensor([[0.4, 1.0]] * 2).T)) == 0
    # outside of all the nearest comes first, and an empty ball never does
    assert (
        codebook.winner(tuple(torch.tensor([[3.0, 1.0], [2.0, 1.0], [0.0, 0.0]]).T), tuple(torch.ones(2, 3)))
        == 1
    )


@given(st.integers(0, 2**31), st.integers(-20, 20))
def test_who_wins_does_not_depend_on_the_unit_of_distances(seed, power):
    picture, question = torch.rand(2, 2, 5, generator=torch.Generator().manual_seed(seed))
    other = picture * 2.0**power
    assert codebook.winner(tuple(picture), tuple(question)) == codebook.winner(tuple(other), tuple(question))


@given(books(), prompts(), st.floats(0, 1), st.floats(0, 1))
def test_strictness_only_narrows(book, prompt, one, other):
    wide, narrow = (book.match(*prompt, strictness=value) for value in sorted((one, other)))
    assert wide.fires or not narrow.fires
    if not wide.fires:
        assert narrow.reach >= wide.reach * (1 - 1e-6)


@given(books(), prompts(), st.integers(1, 4))
def test_edits_far_away_change_nothing(book, prompt, count):
    far = {}
    for name, tensor in book.tensors().items():
        rows = {"keys": torch.full((count, SIZE), 1e6), "owner": torch.arange(count) + len(book)}
        rows["radius"] = torch.full((count,), 1e-3)
        part = rows.get(name.split("_")[1])
        if name.startswith("value"):
            part = torch.ones(count, *tensor.shape[1:])
        far[name] = tensor if part is None else torch.cat([tensor, part])
    match = book.match(*prompt)
    found = Codebook.from_tensors(far).match(*prompt)
    if match.reach < float("inf"):
        assert found == match
    assert found.fires == match.fires


@given(books(), prompts(), prompts())
def test_an_open_picture_channel_takes_every_picture_and_none(book, prompt, other):
    book = replace(book, picture_radius=torch.full((len(book),), torch.inf))
    one, two, three = (book.match(picture, prompt[1]) for picture in (prompt[0], other[0], None))
    assert one.edit == two.edit == three.edit and one.fires == two.fires == three.fires


@given(books(), prompts())
def test_distances_in_blocks_are_the_same(book, prompt):
    whole = book.match(*prompt)
    before, codebook.CHUNK = codebook.CHUNK, SIZE
    try:
        assert book.match(*prompt) == whole
    finally:
        codebook.CHUNK = before


@given(books(), prompts())
def test_a_question_without_its_picture_is_outside(book, prompt):
    book = replace(book, picture_radius=torch.ones(len(book)))
    assert not book.match(None, prompt[1]).fires


@given(books())
def test_a_key_fires_and_a_radius_of_zero_never(book):
    point = book.question_keys[0] + book.question_mean
    book = replace(book, picture_radius=torch.full((len(book),), torch.inf))
    assert replace(book, question_radius=torch.full((len(book),), 1e-3)).match(None, point).fires
    assert not replace(book, question_radius=torch.zeros(len(book))).match(None, point).fires


def test_an_empty_codebook_has_no_nearest():
    empty = {
        name: torch.zeros(0, dtype=torch.int64) if name.endswith("owner") else tensor
        for name, tensor in {
            "picture_mean": torch.zeros(1), "picture_projection": torch.zeros(1, 1),
            "question_mean": torch.zeros(SIZE), "question_projection": torch.eye(SIZE),
            "picture_keys": torch.zeros(0, 1), "picture_owner": None,
            "question_keys": torch.zeros(0, SIZE), "question_owner": None,
            "picture_radius": torch.zeros(0), "question_radius": torch.zeros(0),
            "value_down": torch.zeros(0, RANK, WIDTH), "value_up": torch.zeros(0, RANK, WIDTH),
            "value_bias": torch.zeros(0, WIDTH),
        }.items()
    }  # fmt: skip
    assert Codebook.from_tensors(empty).match(None, torch.zeros(SIZE)) is None


@given(books(), st.data())
def test_tensors_that_do_not_belong_together(book, data):
    tensors = book.tensors()
    name = data.draw(st.sampled_from(sorted(tensors)))
    with pytest.raises(InvalidBundle, match="lacks the tensor"):
        Codebook.from_tensors({key: value for key, value in tensors.items() if key != name})
    with pytest.raises(InvalidBundle, match="dimensions"):
        Codebook.from_tensors(tensors | {name: tensors[name][None]})
    with pytest.raises(InvalidBundle, match="elsewhere"):
        Codebook.from_tensors(tensors | {"value_bias": torch.zeros(len(book) + 1, WIDTH)})
    for owner in (torch.full_like(book.picture_owner, len(book)), book.picture_owner.float()):
        with pytest.raises(InvalidBundle, match="int64 rows"):
            Codebook.from_tensors(tensors | {"picture_owner": owner})
