"""The picture space of a bundle, lent to a model, so that new edits can be added to those in the bundle.

A space is measured, and a measurement comes out otherwise with another bank or library; edits merge only
within one space. So what is added is fitted in the space that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from okedit_cli.bundle.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

MEASURED = "spaces"  # where methods.spaces keeps what it has measured of a model


@contextmanager
def lent_spaces(loaded: LoadedModel, bundle: Bundle) -> Iterator[None]:
    """While it lasts, edits are fitted in the bundle's spaces; they must be for this model."""
    if bundle.edits.kind == "memory":  # which has no space of its own
        yield
        return
    from okedit_cli.methods.base import Options
    from okedit_cli.methods.spaces import of_tensors, spaces_of

    before = loaded.cache.get(MEASURED)
    if len(bundle.codebook.picture_mean) and "reference_pictures" in bundle.extras:
        book = bundle.codebook
        tensors = {
            "questions": spaces_of(loaded, Options()).bank_questions,
            "mean": book.picture_mean.float(),
        }
        tensors |= {"projection": book.picture_projection.float()}
        tensors |= {"pictures": bundle.extras["reference_pictures"].float()}
        loaded.cache[MEASURED] = of_tensors(tensors, str(bundle.manifest.site.get("picture_point")))
    try:
        yield
    finally:
        if before is not None:
            loaded.cache[MEASURED] = before
        elif len(bundle.codebook.picture_mean):
            loaded.cache.pop(MEASURED, None)
