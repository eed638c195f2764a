"""Photographs that no edit is about: a picture that looks more like one of them is not the edit's.

Two photographs of one class can lie as near to each other as two views of one photograph, so that no radius
parts them. What does is the ratio test of keypoint matching (Lowe 2004, "Distinctive image features from
scale-invariant keypoints", section 7.1): a view of an edit's picture lies much nearer to it than to anything
else, another photograph of the class does not. So an edit of one individual answers for a picture only where
its own keys lie within RATIO of the way to the nearest of a thousand photographs, whose looks ship with the
learned picture space. Of edits that know their picture by its name nothing is asked.

Measured on 80 photographs of CIFAR-10's second training sheet, which nothing was trained on, held at once, by
views of the data set's kind and 200 others of their classes: within the radius alone 97.2 % of the views and
22 % of the others, with the test 96.6 and 4.5 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from okedit_cli.models.mini.looks import LOOK_WIDTH, has_learned_looks, stranger_looks
from okedit_cli.models.recognition import NAME_WIDTH

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.edits.codebook import Codebook
    from okedit_cli.models.load import LoadedModel

RATIO = 0.88
TWIN = 0.5  # a stranger this near to an edit's own picture may be of the same


def estranged(loaded: LoadedModel, bundle: Bundle, row: int, picture: torch.Tensor | None) -> bool:
    """Whether a picture (its vector) that an edit of a bundle reaches looks more like a stranger's."""
    book = bundle.codebook
    if picture is None or not has_learned_looks(loaded) or not _learned(book):
        return False
    keys = book.picture_keys[book.picture_owner == row].float()
    looks, names = keys[:, :LOOK_WIDTH], keys[:, LOOK_WIDTH:]
    if not len(keys) or bool(names.any()):  # a name is what such an edit goes by
        return False
    shown, others = book.project_picture(picture)[None, :LOOK_WIDTH], stranger_looks()
    others = others[torch.cdist(others, looks).amin(1) > TWIN]
    if not len(others):
        return False
    return float(torch.cdist(shown, looks).min()) > RATIO * float(torch.cdist(shown, others).min())


def _learned(book: Codebook) -> bool:
    """Whether a codebook's pictures are compared in the learned space, with names beside."""
    projection = book.picture_projection
    if projection.shape[0] < LOOK_WIDTH or projection.shape[1] != LOOK_WIDTH + NAME_WIDTH:
        return False
    return torch.equal(projection[-LOOK_WIDTH:, :LOOK_WIDTH].float(), torch.eye(LOOK_WIDTH))
