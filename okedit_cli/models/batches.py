"""Questions in batches that memory is for. Not here: what is done with a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from okedit_cli.models.memory import in_batches
from okedit_cli.models.prefixes import unedited
from okedit_cli.models.reading import prompt_tokens

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


def in_turns(
    loaded: LoadedModel,
    rows: Sequence[tuple],
    batch: int,
    more: int,
    part: Callable[[Sequence], list],
    done: Callable[[Sequence[int]], None] = lambda numbers: None,
) -> list:
    """What `part` gives for the rows, in their order, in batches that memory is for with so many tokens
    `more`; those with and without a picture are read apart, since not every family takes both at once.
    `done` is told which rows have gone through it.
    """
    out: list = [None] * len(rows)

    def length(number: int) -> int:
        with unedited(loaded):
            return prompt_tokens(loaded, *rows[number][:2]) + more

    for pictured in (True, False):
        numbers = [i for i, row in enumerate(rows) if (row[1] is not None) == pictured]
        # the length of a lone row need not be known
        parts = [slice(0, 1)] if len(numbers) == 1 else in_batches(loaded, map(length, numbers), batch)
        for some in (numbers[one] for one in parts):
            for i, found in zip(some, part([rows[i] for i in some]), strict=True):
                out[i] = found
            done(some)
    return out
