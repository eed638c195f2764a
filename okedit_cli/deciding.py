"""Which edit answers a prompt, of all attached: the deepest that neither picture nor question passes.

A question that stands in a longer text is judged as the text stands first, and then, where no edit reaches
that, by itself, if it says what it is about: the picture ("What does this picture show?"), or by name whom an
edit in words is about. Others lean on what stands before: "The player has a number on his back. What is it?"
does not ask what is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from okedit_cli.asked import Asked
from okedit_cli.edits.codebook import best_of
from okedit_cli.edits.decision import Decision, Nearest
from okedit_cli.named import of_whom
from okedit_cli.outer import asked_otherwise, let_pass, noted
from okedit_cli.same_picture import of_others
from okedit_cli.surroundings import points_at_picture

NO_VIEW = "the picture is no view of the photograph that it is about"
PASSED = 32  # edits of one picture that a question may pass, on its way to one that it asks for


def decided(asked: Asked) -> Decision:
    """What is decided for a prompt."""
    whole = _decided(asked)
    if whole.hit or (alone := asked.alone()) is None:
        return whole
    if asked.picture is not None and not points_at_picture(alone.words):
        return whole
    found = _decided(alone)
    acting = found.hit or found.noted
    if acting is None or (asked.picture is None and not _about(asked, acting)):
        return whole
    # the owner may keep the text as it stands
    if asked.keeps(acting.number, acting.row, acting.question_radius):
        return whole
    return replace(found, read=alone.words)


def _about(asked: Asked, edit: Nearest) -> str:
    """Whom an edit in words is about; it answers no question that does not give the name (outer.py)."""
    return asked.bundles[edit.number].manifest.facts[edit.row].get("whom") or ""


def _decided(asked: Asked) -> Decision:
    """What is decided for a prompt as it stands."""
    named = of_whom(asked)  # these are judged by more than their keys
    rows = [{one.row for one in named if one.number == number} for number in range(len(asked.bundles))]
    nearest = best = _nearest(asked, rows)
    first = ""  # why the nearest lets it pass
    if best is not None and best.match.fires:  # otherwise nothing is left to pass
        passed = of_others(asked.loaded, asked.bundles, asked.strictness, asked.picture)
        passed = [{*others, *judged} for others, judged in zip(passed, rows, strict=True)]
        if best.row in passed[best.number]:
            first, best = NO_VIEW, _nearest(asked, passed)
    for _ in range(PASSED):
        if best is None or not best.match.fires:
            break
        reason = let_pass(asked, best)
        if not reason:
            break
        first = first or reason
        passed[best.number].add(best.row)
        best = _nearest(asked, passed)
    fires = [one for one in (*named, best) if one is not None and one.match.fires]
    if fires:
        hit = fires[best_of([one.match for one in fires])]
        return Decision(hit, hit)
    if (otherwise := asked_otherwise(asked)) is not None:
        return Decision(otherwise, otherwise)
    if named and not first:  # of those that do not fire the nearest
        nearest = min((*named, *([nearest] if nearest else [])), key=lambda one: one.match.reach)
    return Decision(None, nearest, noted(asked), first)


def _nearest(asked: Asked, passed: Sequence[Collection[int]]) -> Nearest | None:
    """The edit that fires, or comes nearest, but for those `passed` of each bundle."""
    found: list[Nearest] = []
    for number, bundle in enumerate(asked.bundles):
        # an index answers for the edits that fire alone, and a codebook tells the nearest in any case
        book = bundle.index() or bundle.codebook
        feature, strictness = asked.features[number], asked.strictness[number]
        match = book.match(asked.picture, feature, strictness, passed[number])
        if match is not None:
            found.append(Nearest.of(bundle, number, match))
    return found[best_of([one.match for one in found])] if found else None
