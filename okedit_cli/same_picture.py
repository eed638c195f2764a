"""Edits about one individual answer for its pictures alone: is what is shown another view of one of them?

A photograph shows this dog, and not dogs; and looks alone do not tell it from another one of its class, at
hundreds of edits at once. So such an edit keeps a thumbnail of every picture that its owner gave, and
answers where what is shown can be laid over one of them (edits/alignment.py), whatever else looks alike.
Bundles without thumbnails, and models whose pixels nobody can read, are judged by looks (strangers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.bounded import Bounded
from okedit_cli.edits.alignment import NOT, agreement, needed
from okedit_cli.models.thumbnails import SIDE, THUMBNAIL, thumbnail_in

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

NEAREST = 32  # individuals that a picture is compared with, the nearest by look
LOOSER, STRICTER = 0.4, 0.03  # by how much less and more views have to agree, for each 1 of `strictness`
KEPT = 1 << 20  # bytes of agreements that are kept


def agreements(
    loaded: LoadedModel, bundle: Bundle, strictness: float, picture: torch.Tensor | None
) -> dict[int, float]:
    """By how much better than needed a picture (its vector) agrees with those of each individual (its row)
    that it looks like; of too many the nearest are compared. {} where nobody can tell.
    """
    book, small = bundle.codebook, None if picture is None else thumbnail_in(picture)
    if small is None or not len(book.thumbnails) or book.thumbnails.shape[1] != THUMBNAIL:
        return {}
    known: Bounded = loaded.cache.setdefault("agreements", Bounded())
    key = (id(book), strictness, picture.numpy().tobytes())
    if key not in known:
        found = _compared(bundle, strictness, picture, small)
        known.put(key, (book, found), len(key[2]) + 64 * len(found), KEPT)  # the book's id is not given again
    return known[key][1]


def _compared(
    bundle: Bundle, strictness: float, picture: torch.Tensor, small: torch.Tensor
) -> dict[int, float]:
    book = bundle.codebook
    rows, distance, _ = (bundle.index() or book).showing(picture, strictness)
    own = torch.isin(rows, book.thumbnail_owner)
    rows = rows[own][distance[own].argsort(stable=True)]
    near = torch.isin(book.thumbnail_owner, rows[:NEAREST])
    keys = book.thumbnails[near].view(-1, SIDE, SIDE).float() / 255
    found = dict.fromkeys(rows.tolist(), NOT)
    better = agreement(keys, small.view(SIDE, SIDE)) - needed(keys)
    for row, one in zip(book.thumbnail_owner[near].tolist(), better.tolist(), strict=True):
        found[row] = max(found[row], one)
    return found


def least(strictness: float) -> float:
    """By how much better than needed a view has to agree: 0 at the strictness that is as fitted."""
    apart = strictness - 0.5
    return apart * (STRICTER if apart > 0 else LOOSER)


def is_view(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    edit: tuple[int, int],
    picture: torch.Tensor | None,
) -> bool | None:
    """Whether a picture is a view of one of an `edit`'s (number of the bundle, row); None where the edit is
    not about one individual, or nobody can tell.
    """
    number, row = edit
    found = agreements(loaded, bundles[number], strictness[number], picture).get(row)
    return None if found is None else found >= least(strictness[number])


def of_others(
    loaded: LoadedModel, bundles: Sequence[Bundle], strictness: Sequence[float], picture: torch.Tensor | None
) -> list[set[int]]:
    """Of each bundle the individuals (rows) that a picture looks like and is no view of."""
    return [
        {row for row, found in agreements(loaded, bundle, strict, picture).items() if found < least(strict)}
        for bundle, strict in zip(bundles, strictness, strict=True)
    ]
