"""The key spaces of a bundle, lent to a model, so that new edits can be added to those in the bundle.

Spaces are measured, and a measurement comes out otherwise with another bank or library; edits merge only
within one space. So what is added is fitted in the spaces that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from okedit_cli.bundle.bundle import Bundle
    from okedit_cli.edits.space import Space
    from okedit_cli.methods.spaces import Spaces
    from okedit_cli.models.load import LoadedModel

MEASURED = "spaces"  # where methods.spaces keeps what it has measured of a model


@contextmanager
def lent_spaces(loaded: LoadedModel, bundle: Bundle) -> Iterator[None]:
    """While it lasts, edits are fitted in the bundle's spaces; they must be for this model."""
    before = loaded.cache.get(MEASURED)
    loaded.cache[MEASURED] = spaces_in(loaded, bundle)
    try:
        yield
    finally:
        del loaded.cache[MEASURED]
        if before is not None:
            loaded.cache[MEASURED] = before


def spaces_in(loaded: LoadedModel, bundle: Bundle) -> Spaces:
    """The bundle's spaces, with the bank's pictures as keys in them; its questions are not needed."""
    import torch

    from okedit_cli.bank import load_bank
    from okedit_cli.methods.spaces import Spaces
    from okedit_cli.models.recognition import picture_features

    question, picture, pictures = _space(bundle, "question"), None, None
    if loaded.processor is not None:
        picture = _space(bundle, "picture")
        pictures = torch.stack(
            [picture(picture_features(loaded, [shown.image])[0]) for shown in load_bank().pictures]
        )
    none = torch.zeros(0, question.projection.shape[1])
    numbers = (_number(bundle, name) for name in ("question_reach", "picture_unit"))
    layer = bundle.manifest.site["key_layer"]
    return Spaces(question, layer, picture, none, pictures, *numbers, _reaches(bundle))


def _reaches(bundle: Bundle):
    """How far edits reach in the picture space; those of whitened looks where the bundle does not tell."""
    from okedit_cli.methods.spaces import WHITENED, Reaches

    found = _settings(bundle).get("picture_reaches")
    told = isinstance(found, list) and len(found) == 3 and all(isinstance(n, (int, float)) for n in found)
    return Reaches(*map(float, found)) if told else WHITENED


def _settings(bundle: Bundle) -> dict:
    settings = bundle.manifest.settings
    if isinstance(settings.get("merged"), list) and settings["merged"]:  # of bundles that differed in some
        settings = settings["merged"][0]
    return settings


def _number(bundle: Bundle, name: str) -> float:
    """A measured reach; without bound where the bundle does not tell, as those made before there was one."""
    found = _settings(bundle).get(name)
    return float(found) if isinstance(found, (int, float)) else float("inf")


def _space(bundle: Bundle, channel: str) -> Space:
    from okedit_cli.edits.space import Space

    settings = _settings(bundle)
    separation = settings.get(f"{channel}_separation")
    return Space(
        getattr(bundle.codebook, f"{channel}_mean").float(),
        getattr(bundle.codebook, f"{channel}_projection").float(),
        float(separation) if isinstance(separation, (int, float)) else 0.0,
        0.0,  # the shrinkage is in the projection
    )
