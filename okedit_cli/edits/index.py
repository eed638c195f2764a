"""Which of 100,000 edits may a prompt be inside of? A small sketch of the keys rules nearly all of them out.

What the sketches (sketch.py) of both channels leave over is a superset of the edits that fire, and their
distances are computed exactly as the codebook does, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch

from okedit_cli.edits.codebook import Codebook, Match, deepest, ratios, winner
from okedit_cli.edits.sketch import SLACK, Places, Sketch, draw, read, threads

CHANNELS = ("picture", "question")


@dataclass(eq=False)
class Index:
    """A codebook and the sketches of both channels."""

    book: Codebook
    picture: Sketch
    question: Sketch
    _given: Mapping[str, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._keys, self._radius = {}, {}
        for channel in CHANNELS:
            self._keys[channel] = Places(getattr(self.book, f"{channel}_owner"), len(self.book))
            self._radius[channel] = getattr(self.book, f"{channel}_radius").float()
        self._open = torch.isinf(self._radius["picture"]).nonzero()[:, 0]
        self._bounds: dict[float, dict[str, tuple[torch.Tensor, float]]] = {}
        # the channel whose balls are small beside the distances between them rules out more: it comes first
        self._order = sorted(CHANNELS, key=lambda c: getattr(self, c).crowding(self._radius[c]))

    @classmethod
    def build(cls, book: Codebook) -> Index:
        """An index of a codebook; reads every key."""
        return cls(book, *(
            draw(*(getattr(book, f"{channel}_{part}") for part in ("keys", "owner")),
                 getattr(book, f"{channel}_radius").float())
            for channel in CHANNELS
        ))  # fmt: skip

    @classmethod
    def from_tensors(cls, book: Codebook, tensors: Mapping[str, torch.Tensor]) -> Index:
        """An index as `tensors` gave it; InvalidBundle names the tensor that does not fit the codebook."""
        sizes = [(channel, getattr(book, f"{channel}_keys").shape[1]) for channel in CHANNELS]
        found = cls(book, *(read(tensors, channel, size, len(book)) for channel, size in sizes))
        found._given = {name: tensors[name] for name in tensors if name.split("_")[1] in ("cover", "sketch")}
        return found

    def tensors(self) -> dict[str, torch.Tensor]:
        """Both sketches by the names that they have in a bundle; as they were read, where they were."""
        return self._given or {**self.picture.tensors("picture"), **self.question.tensors("question")}

    def candidates(
        self, picture: torch.Tensor | None, question: torch.Tensor, scale: float = 1.0, many: int = 1
    ) -> torch.Tensor:
        """Rows in order, among them every edit whose scope holds the keys picture [rp] (None: no picture) and
        question [rq]; `scale` multiplies every radius, `many` threads are used where they help.
        """
        points, bounds = {"picture": picture, "question": question}, self._bounds_at(scale)
        if picture is None:  # only edits whose picture channel is open
            return self.question.near(question, bounds["question"], self._open, many)
        first, second = self._order
        rows = getattr(self, first).near(points[first], bounds[first], many=many)
        return getattr(self, second).near(points[second], bounds[second], rows, many)

    def _bounds_at(self, scale: float) -> dict[str, tuple[torch.Tensor, float]]:
        if scale not in self._bounds:
            self._bounds = {scale: {c: getattr(self, c).bounds(self._radius[c] * scale) for c in CHANNELS}}
        return self._bounds[scale]

    def match(
        self,
        picture: torch.Tensor | None,
        question: torch.Tensor,
        strictness: float = 0.5,
        passed: Collection[int] = (),
    ) -> Match | None:
        """What `Codebook.match` answers where an edit fires, and None where none does."""
        many = torch.get_num_threads()
        with threads(1):  # a hundred short steps: threads would wait for each other most of the time
            return self._match(picture, question, strictness, passed, many)

    def _match(
        self,
        picture: torch.Tensor | None,
        question: torch.Tensor,
        strictness: float,
        passed: Collection[int],
        many: int,
    ) -> Match | None:
        book, scale = self.book, 1.5 - strictness
        asked = book.project_question(question).to("cpu", torch.float32)
        shown = None
        if picture is not None and len(book.picture_keys):
            shown = book.project_picture(picture).to("cpu", torch.float32)
        rows = self.candidates(shown, asked, scale, many)
        if passed:
            rows = rows[~torch.isin(rows, torch.tensor(list(passed)))]
        radii = [self._radius[channel][rows] * scale for channel in CHANNELS]
        question_distance = self._distances("question", rows, asked)
        inside = ratios(question_distance, radii[1]) <= 1 + SLACK  # the others need not be looked at
        rows, radii = rows[inside], [radius[inside] for radius in radii]
        question_distance = question_distance[inside]
        picture_distance = torch.full((len(rows),), float("inf"))
        if shown is not None:
            picture_distance = self._distances("picture", rows, shown)
        if not len(rows):
            return None
        alone = len(rows) == 1  # as nearly always: nothing to weigh
        best = 0 if alone else winner((picture_distance, radii[0]), (question_distance, radii[1]))
        found = Match(
            int(rows[best]), float(picture_distance[best]), float(radii[0][best]),
            float(question_distance[best]), float(radii[1][best]),
        )  # fmt: skip
        return found if found.fires else None

    def holding(self, picture: torch.Tensor, question: torch.Tensor, strictness: float = 0.5) -> list[Match]:
        """What `Codebook.holding` answers."""
        rows, distance, radius = self.showing(picture, strictness)
        asked = self.book.project_question(question).to("cpu", torch.float32)
        reach = self._radius["question"][rows] * (1.5 - strictness)
        return deepest(rows, distance, radius, self._distances("question", rows, asked), reach)

    def showing(
        self, picture: torch.Tensor, strictness: float = 0.5
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What `Codebook.showing` answers."""
        book, scale = self.book, 1.5 - strictness
        if not len(book.picture_keys):
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0)
        shown = book.project_picture(picture).to("cpu", torch.float32)
        rows = self.picture.near(shown, self._bounds_at(scale)["picture"])
        radius, distance = self._radius["picture"][rows] * scale, self._distances("picture", rows, shown)
        inside = (ratios(distance, radius) <= 1.0) & torch.isfinite(radius)
        return rows[inside], distance[inside], radius[inside]

    def _distances(self, channel: str, rows: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """Smallest distance [len(rows)] of each row's keys to a point; inf for a row without keys."""
        places, owner = self._keys[channel].of(rows)
        out = torch.full((len(rows),), float("inf"))
        if len(places):
            keys = getattr(self.book, f"{channel}_keys").index_select(0, places).float()
            out.scatter_reduce_(0, owner, torch.linalg.vector_norm(keys - point, dim=1), "amin")
        return out
