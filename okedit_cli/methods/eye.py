"""Keys of what a model is asked and shown, as edits are recognised by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.methods.about import shows_one
from okedit_cli.methods.spaces import Spaces, of_bank, question_ids
from okedit_cli.models.features import pooled_width, question_feature
from okedit_cli.models.recognition import (
    NAME_WIDTH,
    look_features,
    name_vector,
    picture_features,
    recognise,
)
from okedit_cli.models.thumbnails import THUMBNAIL, as_bytes, thumbnail_in
from okedit_cli.transforms import plain_border

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples import Sample

ROUNDING = 1e-3  # of what a name weighs


class Eye:
    """Keys of questions and pictures in the model's spaces, each computed once."""

    def __init__(self, loaded: LoadedModel, spaces: Spaces):
        self.loaded, self.spaces = loaded, spaces
        # the bank's have been looked at for the spaces
        self._pictures: dict[int, tuple[object, torch.Tensor]] = of_bank(spaces)

    def question(self, text: str) -> torch.Tensor:
        """Key [r] of a question."""
        return self.spaces.question(
            question_feature(self.loaded, question_ids(self.loaded, text), self.spaces.layer)
        )

    def picture(self, picture) -> torch.Tensor:
        """Key [r] of a picture, with the name that the model has for it."""
        if id(picture) not in self._pictures:
            # the picture is kept as well: its id must not be given out again
            found = self.spaces.picture(picture_features(self.loaded, [picture])[0])
            self._pictures[id(picture)] = picture, found
        return self._pictures[id(picture)][1]

    def bears(self, picture, name: str) -> bool:
        """Whether the name that the model has for a picture is this."""
        pooled = pooled_width(self.loaded)
        weight = self.spaces.picture.projection[pooled : pooled + NAME_WIDTH, -NAME_WIDTH:]
        apart = self.picture(picture)[-NAME_WIDTH:] - name_vector(name) @ weight
        return float(apart.abs().max()) < ROUNDING * float(weight.abs().max())

    def recognise(self, samples: dict[str, list[Sample]]) -> None:
        """Ask for the names of all pictures that need one, many at a time."""
        shown = [s for rows in samples.values() for s in rows if s.picture is not None]
        wanted = [s.picture for s in shown if s.role != "positive" or s.origin == "user"]
        self.meet([picture for picture in unique(wanted) if id(picture) not in self._pictures])

    def meet(self, pictures: Sequence) -> None:
        """Ask for the names of pictures, many at a time."""
        recognise(self.loaded, pictures, fitting=True)

    def own_pictures(self, samples: Sequence[Sample], individual: bool) -> list[torch.Tensor]:
        """Keys of an edit's pictures, the edit's own first. Transformed views show what it shows and bear its
        name, the user's views theirs; those of an individual have none.
        """
        first = samples[0].picture
        [name] = [""] if individual else recognise(self.loaded, [first])
        theirs = {id(s.picture) for s in samples if s.origin == "user" and s.picture is not None}
        keys = []
        for picture in unique([s.picture for s in samples if s.picture is not None]):
            own = picture is not first and id(picture) in theirs and not individual
            named = recognise(self.loaded, [picture])[0] if own else name
            keys.append(self.spaces.picture(picture_features(self.loaded, [picture], named)[0]))
        return keys

    def thumbnails(self, fact: Fact, samples: Sequence[Sample]) -> torch.Tensor:
        """Thumbnails [n, THUMBNAIL] uint8 of the pictures that the owner of a fact about one individual gave;
        of a drawing on a plain ground none, since what can be laid over it is mostly ground.
        """
        given = [s.picture for s in samples if s.origin == "user" and s.role in ("edit", "positive")]
        given = unique([picture for picture in given if picture is not None])
        if not given or plain_border(given[0]) is not None or not shows_one(fact.prompt, given[0]):
            return torch.zeros(0, THUMBNAIL, dtype=torch.uint8)
        found = [thumbnail_in(one) for one in look_features(self.loaded, given)]
        if any(one is None for one in found):  # nobody could tell these from others
            return torch.zeros(0, THUMBNAIL, dtype=torch.uint8)
        return torch.stack([as_bytes(one) for one in found])

    def nearest(self, picture) -> list[int]:
        """The bank's pictures by distance, near first."""
        return (
            torch.linalg.vector_norm(self.spaces.bank_pictures - self.picture(picture), dim=1)
            .argsort()
            .tolist()
        )


def with_owners(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows [n, t] of several edits as one tensor, and which edit each belongs to."""
    counts = torch.tensor([len(some) for some in rows], dtype=torch.int64)
    none = torch.zeros(0, THUMBNAIL, dtype=torch.uint8)
    return torch.cat([none, *rows]), torch.arange(len(rows)).repeat_interleave(counts)


def unique(pictures: Sequence) -> list:
    """The same picture objects once, in order."""
    return list({id(p): p for p in pictures}.values())
