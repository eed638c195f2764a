"""The first stage: the nearest edits of a bundle by their keys, in two channels, picture and question.

A flat product over all keys. An edit with a picture is a candidate where the query's picture lies inside
(or not far outside) its picture radius; an edit without one is judged by its words alone. Not here: what a
question asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from okedit_cli.encoders.image import NONE
from okedit_cli.encoders.text import DEFAULT, text_vectors
from okedit_cli.scope.calibration import calibration
from okedit_cli.scope.texts import windows
from okedit_cli.scope.verdict import Candidate

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.scope.query import Query

FUSED = "fused distance"  # a site's classifier: one border for text and picture together, and no other stage
QUESTIONS = "question encoder"  # where a bundle's questions are read, unless whole prompts are


class Retriever:
    """The keys of one bundle, `number` among those attached, as they are searched."""

    def __init__(self, bundle: Bundle, number: int, strictness: float) -> None:
        self.bundle, self.number, self.strictness = bundle, number, strictness
        book, site = bundle.codebook, bundle.manifest.site
        self.encoder = str(site.get("text_encoder", DEFAULT))
        self.point = str(site.get("picture_point", NONE))
        self.reads_prompt = site.get("question_point", QUESTIONS) != QUESTIONS
        self.is_fused = site.get("classifier") == FUSED
        # whether the classifier judges what this retriever finds: it knows the default encoder's language
        self.judged = not self.reads_prompt and self.encoder == DEFAULT and not self.is_fused
        scale = 1.5 - strictness
        held = 1.0 if self.is_fused else held_scale(bundle)
        self.picture_radius = book.picture_radius.float() * scale * held
        self.question_radius = book.question_radius.float() * (scale if not self.judged else 1.0)
        self.open = torch.isinf(book.picture_radius.float())

    def retrieve(self, query: Query) -> list[Candidate]:
        """Candidates, best first: of edits about pictures those nearest by picture, then of the others by
        words.
        """
        book, borders = self.bundle.codebook, calibration()
        if not len(book):
            return []
        asked = self._asked(query)
        shown = torch.full((len(book),), torch.inf)
        vector = None if query.picture is None else query.picture.vector_of(self.point)
        if vector is not None and len(book.picture_keys):
            shown = book.picture_distances(vector)
        if self.is_fused:
            return [self.nearest_fused(asked, shown)]
        bound = torch.full_like(asked, borders.text_radius if self.judged else torch.inf)
        reach = torch.where(torch.isinf(self.question_radius), torch.inf, bound)
        out = []
        inside = ~self.open & (shown <= borders.wide * self.picture_radius) & (asked <= reach)
        rows = inside.nonzero()[:, 0]
        order = sorted(
            rows.tolist(),
            key=lambda row: (round(float(shown[row] / self.picture_radius[row]), 3), float(asked[row])),
        )
        out += order[: borders.candidates]
        near = torch.where(self.open & (asked <= reach), asked, torch.inf)
        count = min(borders.candidates, int(torch.isfinite(near).sum()))
        out += near.topk(count, largest=False).indices.tolist()
        if not out:  # nothing to judge: the nearest is told all the same
            ratios = torch.where(self.open, 0.0, shown / self.picture_radius.clamp_min(1e-9)).nan_to_num(
                torch.inf
            )
            out = [int(torch.maximum(ratios, asked / self.question_radius.clamp_min(1e-9)).argmin())]
        return [
            Candidate.of(
                self.bundle, self.number, row,
                picture_distance=float(shown[row]), picture_radius=float(self.picture_radius[row]),
                question_distance=float(asked[row]), question_radius=float(self.question_radius[row]),
            )
            for row in out
        ]  # fmt: skip

    def nearest_fused(self, asked: torch.Tensor, shown: torch.Tensor) -> Candidate:
        """The edit of the smallest fused distance, text and picture together: the squared distances in both
        channels, each in its radius, added; 1 is the border.
        """
        pictures = torch.where(self.open, 0.0, shown / self.picture_radius.clamp_min(1e-9))
        fused = (pictures**2 + (asked / self.question_radius.clamp_min(1e-9)) ** 2).sqrt()
        row = int(fused.argmin())
        return Candidate.of(
            self.bundle, self.number, row, picture_distance=0.0, picture_radius=float("inf"),
            question_distance=float(fused[row]), question_radius=1.0,
        )  # fmt: skip

    def _asked(self, query: Query) -> torch.Tensor:
        """Each edit's smallest distance [N] from its question keys to the query."""
        book = self.bundle.codebook
        if self.reads_prompt:
            return book.question_distances(query.prompt_feature(self.bundle.manifest.site))
        found = [
            book.question_distances(vector) for vector in text_vectors(windows(query.text), self.encoder)
        ]
        return torch.stack(found).amin(0)


def held_scale(bundle: Bundle) -> float:
    """What picture radii of a bundle are multiplied by, so that of unrelated pictures no more than a stated
    share fire any edit.

    From the reference pictures of the image encoder: the share's quantile of their nearest distance in
    radii, at most 1.
    """
    from okedit_cli.encoders.image import reference_of

    book = bundle.codebook
    reference = reference_of(bundle)
    rows = torch.isfinite(book.picture_radius.float()) & (book.picture_radius > 0)
    if reference is None or not int(rows.sum()):
        return 1.0
    nearest = torch.stack(
        [
            (book.picture_key_distances(one) / book.picture_radius.float())[rows].amin()
            for one in reference.float()
        ]
    )
    border = float(nearest.sort().values[int(calibration().unrelated * len(nearest))])
    return min(1.0, border)
