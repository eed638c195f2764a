"""What a scope decides about: the words of a prompt and its pictures. Not here: how a model reads either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from okedit_cli.scope.views import Described


@dataclass(eq=False)
class Picture:
    """One picture of a query.

    `vector` [d]: what the model's image encoder makes of it. `pixels`: RGB uint8 [h, w, 3] as a function,
    so that nothing is decoded in vain; None where the model was only handed patches.
    """

    vector: torch.Tensor
    pixels: Callable[[], np.ndarray | None] = lambda: None
    source: Any = None  # the PIL image, where there is one at hand
    reshaped: bool = False  # whether a processor may have squeezed the pixels into a shape of its own
    _vectors: dict[str, torch.Tensor | None] = field(default_factory=dict)

    def vector_of(self, point: str) -> torch.Tensor | None:
        """The vector that a bundle's picture point reads; None where it needs pixels and there are none."""
        from okedit_cli.encoders.image import image_vectors, reads_pixels

        if not reads_pixels(point):
            return self.vector
        if point not in self._vectors:
            pixels = self.pixels()
            self._vectors[point] = None if pixels is None else image_vectors([pixels], point)[0]
        return self._vectors[point]

    @cached_property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the pixels; None without any."""
        found = self.pixels()
        return None if found is None else found.shape[:2]

    @cached_property
    def described(self) -> Described | None:
        """Local features of the picture, for the verifier; None without pixels."""
        from okedit_cli.scope.views import describe

        found = self.pixels()
        return None if found is None else describe(found)


@dataclass(eq=False)
class Query:
    """A prompt's last question and the picture it is asked about (None: none).

    `prompt_feature` reads the whole prompt at a bundle's site, for methods whose key is not of the words
    alone.
    """

    text: str
    picture: Picture | None = None
    prompt_feature: Callable[[Mapping[str, Any]], torch.Tensor] | None = None
