"""One prompt, with what decides it: the bundles attached, how strict each is, and what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from okedit_cli.methods.whole_prompt import WHOLE
from okedit_cli.models.features import question_feature
from okedit_cli.models.own_answers import own_answer
from okedit_cli.models.question import question_ids
from okedit_cli.surroundings import question_alone

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.models.prefixes import Prefix


@dataclass(frozen=True)
class Asked:
    """A question's ids, what tells its feature for each bundle, and its picture's vector (None: no picture).

    `prefix` reads the prompt up to its picture, so that the unedited model can be asked about it; None where
    nobody can.
    """

    loaded: LoadedModel
    bundles: Sequence[Bundle]
    strictness: Sequence[float]
    question: Sequence[int]
    read: Callable[[Sequence[int]], Sequence[torch.Tensor]]
    picture: torch.Tensor | None = None
    prefix: Callable[[], Prefix] | None = None

    @cached_property
    def features(self) -> Sequence[torch.Tensor]:
        """The question's feature for each bundle."""
        return self.read(self.question)

    @cached_property
    def words(self) -> str:
        """The question."""
        ids = list(self.question)
        return self.loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip()

    def alone(self) -> Asked | None:
        """The question without what stands around it; None where nothing does, or whole prompts are read."""
        words = question_alone(self.words)
        if words is None or any(b.manifest.site.get("question_point") == WHOLE for b in self.bundles):
            return None
        return replace(self, question=question_ids(self.loaded, words))

    def own_answer(self, question: str) -> str | None:
        """What the unedited model says to a question about the picture; None where nobody can tell."""
        if self.picture is None or self.prefix is None:
            return None
        return own_answer(self.loaded, self.prefix(), question)

    def keeps(self, number: int, row: int, radius: float) -> bool:
        """Whether the question is one that a fact keeps about its own pictures, in these or other words."""
        bundle = self.bundles[number]
        fact, book, layer = bundle.manifest.facts[row], bundle.codebook, bundle.manifest.site["key_layer"]
        own = [fact.get("picture_sha256"), *(fact.get("images") or ())]  # strangers may write anything in it
        for kept in fact.get("keep") or ():
            if not isinstance(kept, dict) or kept.get("picture_sha256") not in own:
                continue
            ids = question_ids(self.loaded, str(kept.get("prompt", "")))
            feature = question_feature(self.loaded, ids, layer)
            apart = book.project_question(feature) - book.project_question(self.features[number])
            if float(apart.norm()) <= radius:
                return True
        return False
