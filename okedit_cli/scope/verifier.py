"""The third stage: is a query's picture a view of the very picture that an edit was made with?

Asked where a fact is about one picture (`reach: picture`), and of candidates a little outside the picture
radius, which a view of the edit's own picture is let in from if many key points say so. Compared by local
features (views.py). Not here: likeness of two things of one kind.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from okedit_cli.scope.views import Described, compare, decode_view, describe, is_view, squeezed

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.scope.query import Picture


class Verifier:
    """The stored pictures of attached bundles, described when they are first compared."""

    def __init__(self) -> None:
        self._described = functools.lru_cache(maxsize=2_000)(self._read)

    def is_view(self, bundle: Bundle, row: int, picture: Picture, surely: bool = False) -> bool | None:
        """Whether the picture is a view of one that edit `row` keeps; None where nothing is kept or can be
        told. `surely`: by so many key points that it need not be alike otherwise.
        """
        if picture.described is None:
            return None
        stored = self.stored(bundle, row)
        if picture.reshaped:  # as it was, or squeezed as the model's processor did
            stored = [*stored, *self.stored(bundle, row, picture.shape)]
        if not stored:
            return None
        found = [is_view(compare(one, picture.described, surely)) for one in stored]
        if any(found):
            return True
        return None if all(one is None for one in found) else False

    def stored(self, bundle: Bundle, row: int, shape: tuple[int, int] | None = None) -> list[Described]:
        """The pictures that edit `row` keeps, or what they are in the proportions of a shape (h, w)."""
        book = bundle.codebook
        places = (book.thumbnail_owner == row).nonzero()[:, 0].tolist()
        read = (self._described(bytes(book.thumbnails[place].numpy()), shape) for place in places)
        return [one for one in read if one is not None]

    @staticmethod
    def _read(data: bytes, shape: tuple[int, int] | None) -> Described | None:
        try:
            found = decode_view(data)
        except ValueError:  # a bundle of a stranger may hold anything
            return None
        return describe(found if shape is None else squeezed(found, shape))
