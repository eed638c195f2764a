"""Which edit answers a prompt, of all attached: the deepest that neither picture nor question passes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from okedit_cli.edits.codebook import best_of
from okedit_cli.edits.decision import Decision, Nearest
from okedit_cli.outer import asked_otherwise, let_pass, noted
from okedit_cli.same_picture import of_others

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

NO_VIEW = "the picture is no view of the photograph that it is about"
PASSED = 32  # edits of one picture that a question may pass, on its way to one that it asks for


def decided(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    question: Sequence[int],
    asked: Sequence[torch.Tensor],
    picture: torch.Tensor | None,
) -> Decision:
    """What is decided for a prompt: the question's ids, its feature for each bundle, and its picture's vector
    (None: no picture).
    """
    nearest = best = _nearest(bundles, strictness, picture, asked, [()] * len(bundles))
    first = ""  # why the nearest lets it pass
    if best is not None and best.match.fires:  # otherwise nothing is left to pass
        passed = of_others(loaded, bundles, strictness, picture)
        if best.row in passed[best.number]:
            first, best = NO_VIEW, _nearest(bundles, strictness, picture, asked, passed)
    for _ in range(PASSED):
        if best is None or not best.match.fires:
            break
        reason = let_pass(loaded, bundles, strictness, best, question, picture)
        if not reason:
            return Decision(best, best)
        first = first or reason
        passed[best.number].add(best.row)
        best = _nearest(bundles, strictness, picture, asked, passed)
    around = loaded, bundles, strictness, question, asked, picture
    if (otherwise := asked_otherwise(*around)) is not None:
        return Decision(otherwise, otherwise)
    return Decision(None, nearest, noted(*around), first)


def _nearest(
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    picture: torch.Tensor | None,
    asked: Sequence[torch.Tensor],
    passed: Sequence[Collection[int]],
) -> Nearest | None:
    """The edit that fires, or comes nearest, but for those `passed` of each bundle."""
    found: list[Nearest] = []
    for number, bundle in enumerate(bundles):
        # an index answers for the edits that fire alone, and a codebook tells the nearest in any case
        book = bundle.index() or bundle.codebook
        match = book.match(picture, asked[number], strictness[number], passed[number])
        if match is not None:
            found.append(Nearest.of(bundle, number, match))
    return found[best_of([one.match for one in found])] if found else None
