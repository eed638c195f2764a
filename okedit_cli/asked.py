"""One prompt, with what decides it: the bundles attached, how strict each is, and what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from okedit_cli.models.own_answers import own_answer

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.models.prefixes import Prefix


@dataclass(frozen=True)
class Asked:
    """A question's ids, its feature for each bundle, and its picture's vector (None: no picture).

    `prefix` reads the prompt up to its picture, so that the unedited model can be asked about it; None where
    nobody can.
    """

    loaded: LoadedModel
    bundles: Sequence[Bundle]
    strictness: Sequence[float]
    question: Sequence[int]
    features: Sequence[torch.Tensor]
    picture: torch.Tensor | None = None
    prefix: Callable[[], Prefix] | None = None

    @cached_property
    def words(self) -> str:
        """The question."""
        ids = list(self.question)
        return self.loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip()

    def own_answer(self, question: str) -> str | None:
        """What the unedited model says to a question about the picture; None where nobody can tell."""
        if self.picture is None or self.prefix is None:
            return None
        return own_answer(self.loaded, self.prefix(), question)
