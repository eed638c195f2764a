"""Pictures of queries: of those whose files are at hand, and of those that only a forward pass has shown.

Not here: what is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from okedit_cli.models.features import Look, picture_vector
from okedit_cli.models.pixels import rgb_of
from okedit_cli.models.spans import picture_spans, side_by_side
from okedit_cli.scope.query import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


def seen(look: Look) -> Picture:
    """What a model has seen, as a picture of a query."""
    return _of_file(look.vector, look.picture)


def _of_file(vector: torch.Tensor, file: Image) -> Picture:
    return Picture(vector, lambda: np.asarray(file.convert("RGB")), file)


class Shown:
    """The pictures of a batch in a forward pass, whose files nobody has at hand: of ids and mask [B, L], what
    the pass was `given`, and what was `said` of them (models/features.py).
    """

    def __init__(
        self, loaded: LoadedModel, ids: torch.Tensor, mask: torch.Tensor, given: Mapping[str, Any], said: Any
    ) -> None:
        self.loaded, self.given = loaded, given
        spans = [  # pads may carry any id
            picture_spans(loaded, row.where(kept.bool(), -1)) for row, kept in zip(ids, mask, strict=True)
        ]
        # a prompt of several beams is several rows, and its pictures were given once
        prompts = next((given[n] for n in ("input_ids", "inputs_embeds") if given.get(n) is not None), None)
        self.times = 1 if prompts is None else max(1, len(ids) // len(prompts))
        self.spans = side_by_side(loaded, spans[:: self.times], given.get("image_sizes"))
        count = len(self.spans) if said is not None and said.dim() == 3 else sum(map(len, self.spans))
        # the tower may have read them once for each beam; tiles of pictures, or those of an earlier pass, are
        # not told apart
        self.read = 0 if said is None or not count else len(said) // count
        self.said = said if self.read in (1, self.times) and len(said) == count * self.read else None

    def of(self, row: int, states: torch.Tensor, end: int, file: Image | None = None) -> list[Picture]:
        """The pictures of one row before column `end`, of its decoder input [L, d]; their pixels are the
        file's, where that is at hand.
        """
        found, prompt = [], row // self.times
        before = sum(map(len, self.spans[:prompt]))
        for index, columns in enumerate(self.spans[prompt]):
            if int(columns[-1]) >= end:
                continue
            place = prompt * self.read, index, before * self.read + index
            vector = picture_vector(self.loaded, states, columns, self.said, place)
            if file is not None:
                found.append(_of_file(vector, file))
            else:
                found.append(Picture(vector, partial(self._pixels, prompt, index), reshaped=True))
        return found

    def remembered(
        self,
        row: int,
        ids: torch.Tensor,
        unread: int,
        pictures: list[Picture],
        earlier: Sequence[tuple[list[int], list[Picture]]],
    ) -> tuple[list[Picture], bool]:
        """The pictures of a row whose first `unread` columns this pass was not given: those there as they
        were in `earlier` prompts, by ids and pictures; and whether any is not known.
        """
        hidden = sum(int(columns[-1]) < unread for columns in self.spans[row // self.times])
        head = ids[:unread].tolist()
        known = next((had for one, had in earlier if head[: len(one)] == one[:unread]), [])[:hidden]
        return [*known, *pictures[hidden:]], len(known) < hidden

    def _pixels(self, row: int, index: int) -> np.ndarray | None:
        return rgb_of(self.loaded, self.given, self.spans, row, index)
