"""The codebook's laws: distances are to the nearest key of each edit, whatever else is in it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


def feature(seed: int) -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))


SEEDS = st.integers(0, 2**31)


def by_hand(book, channel, point):
    """Each edit's distance from its nearest key."""
    keys, owner = getattr(book, f"{channel}_keys"), getattr(book, f"{channel}_owner")
    point = point - getattr(book, f"{channel}_mean")
    return [min(float((key - point).norm()) for key in keys[owner == edit]) for edit in range(len(book))]


@given(books(), SEEDS)
def test_distances_are_to_the_nearest_key_of_each_edit(book, seed):
    point = feature(seed)
    for channel, found in (
        ("picture", book.picture_distances(point)),
        ("question", book.question_distances(point)),
    ):
        assert found.tolist() == pytest.approx(by_hand(book, channel, point), rel=1e-4, abs=1e-5)


@given(books(), SEEDS, st.integers(1, 4))
def test_more_edits_change_no_distance(book, seed, count):
    far = {}
    for name, tensor in book.tensors().items():
        rows = {"keys": torch.full((count, SIZE), 1e3), "owner": torch.arange(count) + len(book)}
        rows["radius"] = torch.full((count,), 1e-3)
        part = rows.get(name.split("_")[1])
        if name.startswith("value"):
            part = torch.ones(count, *tensor.shape[1:])
        far[name] = tensor if part is None else torch.cat([tensor, part])
    more = Codebook.from_tensors(far).question_distances(feature(seed))
    assert torch.equal(more[: len(book)], book.question_distances(feature(seed)))


@given(books())
def test_a_key_lies_on_itself(book):
    for row in range(len(book.question_keys)):
        found = book.question_distances(book.question_keys[row] + book.question_mean)
        assert float(found[book.question_owner[row]]) == pytest.approx(0, abs=1e-5)


@given(SEEDS)
def test_a_space_without_a_map_takes_features_as_they_are(seed):
    tensors = {
        "picture_mean": torch.zeros(0), "picture_projection": torch.zeros(0, SIZE),
        "question_mean": torch.zeros(0), "question_projection": torch.zeros(0, SIZE),
        "picture_keys": torch.zeros(0, SIZE), "picture_owner": torch.zeros(0, dtype=torch.int64),
        "question_keys": feature(seed)[None], "question_owner": torch.zeros(1, dtype=torch.int64),
        "picture_radius": torch.full((1,), torch.inf), "question_radius": torch.ones(1),
        "value_down": torch.zeros(1, RANK, WIDTH), "value_up": torch.zeros(1, RANK, WIDTH),
        "value_bias": torch.zeros(1, WIDTH),
    }  # fmt: skip
    book = Codebook.from_tensors(tensors)
    assert float(book.question_distances(feature(seed))[0]) == 0
    assert torch.isinf(book.picture_distances(feature(seed))).all()


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
