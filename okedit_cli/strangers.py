"""Pictures that an edit is not about: what looks more like one of them is not the edit's.

Two photographs of one class can lie as near to each other as two views of one photograph, and a model that
has one word for many things ("ship", for any machine) gives them one name, so that no radius parts them. What
does is the ratio test of keypoint matching (Lowe 2004, "Distinctive image features from scale-invariant
keypoints", section 7.1): a view of an edit's picture lies much nearer to it than to anything else, another
photograph of the class does not. So an edit answers for a picture only where its own keys lie within

- STRANGE of the way to the nearest of a thousand photographs, strangers, whose looks and names ship with the
  learned picture space, and
- RIVAL of the way to the nearest picture of another edit that shows something else and has another answer:
  the more edits there are, the surer each has to be.

An edit about one individual whose picture can be laid over what is shown needs neither test, and one whose
picture cannot answers nothing (same_picture.py). The others are compared by looks. What bears the very name
that an edit goes by is compared by look and name, and with strangers alone: of several drawings called a
cow, the one that is meant need not look the most alike.

Measured by tools/mini/judge_strangers.py on photographs that nothing was trained on: with 300 of them held at
once, within the radius alone 98.2 % of their views and 61 % of 300 others of their classes, with both tests
95.8 % and 5 %; with 30 held, 97.5 % and 0.7 %.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.mini.looks import LOOK_WIDTH, has_learned_looks, stranger_looks, stranger_names
from okedit_cli.models.recognition import NAME_WIDTH, name_vector
from okedit_cli.same_picture import is_view
from okedit_cli.wording import normal

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.edits.codebook import Codebook
    from okedit_cli.models.load import LoadedModel

STRANGE, RIVAL = 0.84, 0.95
TWIN = 0.5  # a stranger or rival this near to an edit's own picture may be of the same
SAME = 0.1  # of a name's length: what rounding may part
WIDER = 0.16  # of the radii: what looks alike under another name lies so far beyond them


def estranged(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    edit: tuple[int, int],
    picture: torch.Tensor | None,
) -> bool:
    """Whether a picture (its vector) that an `edit` (number of the bundle, row) reaches looks more like
    something else.
    """
    if (view := is_view(loaded, bundles, strictness, edit, picture)) is not None:
        return not view
    number, row = edit
    book = bundles[number].codebook
    if picture is None or not has_learned_looks(loaded) or not _learned(book):
        return False
    keys = _keys(book, row)
    if not len(keys) or bool(torch.isinf(book.picture_radius[row])):  # whatever is shown
        return False
    shown, others = book.project_picture(picture)[None], _strangers(book)
    namesake = _names_alike(keys, shown)
    if not namesake:
        keys, shown, others = (rows[:, :LOOK_WIDTH] for rows in (keys, shown, others))
    own = float(torch.cdist(shown, keys).min())
    if _others_nearer(others, keys, shown, own / STRANGE):
        return True
    return not namesake and _rivalled(loaded, bundles, strictness, edit, picture, keys, own / RIVAL)


def _names_alike(keys: torch.Tensor, shown: torch.Tensor) -> bool:
    """Whether what is shown [1, r] bears the name of an edit's keys."""
    own, its = keys[:, LOOK_WIDTH:], shown[:, LOOK_WIDTH:]
    return bool(own.any()) and bool((torch.linalg.vector_norm(own - its, dim=1) < SAME * its.norm()).any())


def _others_nearer(others: torch.Tensor, keys: torch.Tensor, shown: torch.Tensor, reach: float) -> bool:
    """Whether others [n, r] lie within reach of what is shown [1, r], and are none of the keys' own."""
    near = others[torch.cdist(others, shown)[:, 0] < reach]
    return bool((torch.cdist(near, keys) > TWIN).all(1).any())


def _rivalled(
    loaded: LoadedModel,
    bundles: Sequence[Bundle],
    strictness: Sequence[float],
    edit: tuple[int, int],
    picture: torch.Tensor,
    keys: torch.Tensor,
    reach: float,
) -> bool:
    """Whether what is shown is within reach of another edit's picture, which is not that of the keys."""
    answer = _answer(bundles[edit[0]], edit[1])
    for number, bundle in enumerate(bundles):
        book = bundle.codebook
        if not _learned(book):
            continue
        shown = book.project_picture(picture)[None, :LOOK_WIDTH]
        rows = (bundle.index() or book).showing(picture, strictness[number] - WIDER)[0]
        of_rows = torch.isin(book.picture_owner, rows)
        looks, owner = book.picture_keys[of_rows, :LOOK_WIDTH].float(), book.picture_owner[of_rows]
        for row in owner[torch.cdist(looks, shown)[:, 0] < reach].unique().tolist():
            if (number, row) == edit or _answer(bundle, row) == answer:
                continue
            if is_view(loaded, bundles, strictness, (number, row), picture) is False:
                continue
            if bool((torch.cdist(looks[owner == row], keys) > TWIN).all()):
                return True
    return False


def _keys(book: Codebook, row: int) -> torch.Tensor:
    return book.picture_keys[book.picture_owner == row].float()


def _answer(bundle: Bundle, row: int) -> str:
    return normal(str(bundle.manifest.facts[row].get("answer", "")))


def _strangers(book: Codebook) -> torch.Tensor:
    """Strangers' keys [n, LOOK_WIDTH + NAME_WIDTH], with names as long as the codebook has them."""
    weight = book.picture_projection[-LOOK_WIDTH - NAME_WIDTH : -LOOK_WIDTH, LOOK_WIDTH:].float()
    return torch.cat([stranger_looks(), _stranger_names() @ weight], 1)


@functools.cache
def _stranger_names() -> torch.Tensor:
    return torch.stack([name_vector(name) for name in stranger_names()])


def _learned(book: Codebook) -> bool:
    """Whether a codebook's pictures are compared in the learned space, with names beside."""
    projection = book.picture_projection
    if projection.shape[0] < LOOK_WIDTH or projection.shape[1] != LOOK_WIDTH + NAME_WIDTH:
        return False
    return torch.equal(projection[-LOOK_WIDTH:, :LOOK_WIDTH].float(), torch.eye(LOOK_WIDTH))
