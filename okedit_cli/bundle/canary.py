"""Does the model still see what it saw when a bundle was made? A few keys are computed again and compared.

A fingerprint compares settings; keys also move with what no setting tells (another precision, another
library). Drift is measured in the radii that it would spoil.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.bundle.header import REMAKE
from okedit_cli.bundle.manifest import BundleWarning
from okedit_cli.errors import InvalidBundle, ModelMismatch

if TYPE_CHECKING:
    import torch

    from okedit_cli.bundle.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

PICTURES = 2  # they cost a pass through the picture tower each
REFUSED, DOUBTFUL = 0.25, 0.05  # drift as a share of the channel's smallest radius


@dataclass(frozen=True)
class Drift:
    """How far the keys of one channel have moved at most, and the channel's smallest radius."""

    channel: str
    distance: float
    radius: float

    @property
    def words(self) -> str:
        """The first half of a sentence."""
        return (
            f"the bundle's {self.channel} keys lie {self.distance:.3g} away from where they were when it was"
            " made"
        )


def check_canary(loaded: LoadedModel | None, bundle: Bundle) -> None:
    """ModelMismatch where edits would not be found any more, BundleWarning where their borders have moved a
    little. However well the settings agree, this decides. `loaded` None: keys are the encoders' alone.
    """
    for drift in measure_drift(loaded, bundle):
        if not drift.distance <= REFUSED * drift.radius:
            raise ModelMismatch(
                f"The bundle does not belong to this model: {drift.words}, and its smallest radius is"
                f" {drift.radius:.3g}.",
                hint="Use the dtype and the library versions that the bundle names, or make the edits again.",
            )
        if drift.distance > DOUBTFUL * drift.radius:
            warnings.warn(
                f"{drift.words}; its smallest radius is {drift.radius:.3g}, so questions near a border may be"
                " judged otherwise.",
                BundleWarning,
                stacklevel=3,
            )


def measure_drift(loaded: LoadedModel | None, bundle: Bundle) -> tuple[Drift, ...]:
    """The drift of each channel that has a canary; measured once for a bundle object and a model."""
    if loaded is None:
        return tuple(_drifts(None, bundle))
    known = loaded.cache.setdefault("canaries", {})
    held, drifts = known.get(id(bundle), (lambda: None, ()))
    if held() is not bundle:
        drifts = tuple(_drifts(loaded, bundle))
        known[id(bundle)] = weakref.ref(bundle), drifts
    return drifts


def _drifts(loaded: LoadedModel | None, bundle: Bundle) -> Iterator[Drift]:
    import torch

    if bundle.edits.kind != "codebook":  # weights are compared by content (edits/delta.py)
        return
    for channel, found in (("question", _questions), ("picture", _pictures)):
        radii = getattr(bundle.codebook, f"{channel}_radius").float()
        radii = radii[torch.isfinite(radii) & (radii > 0)]
        stored = bundle.canary.get(f"canary_{channel}")
        if stored is None or not len(radii) or not len(stored):
            continue
        width = getattr(bundle.codebook, f"{channel}_projection").shape[1]
        if stored.dim() != 2 or stored.shape[1] != width:
            raise InvalidBundle(
                f"tensor 'canary_{channel}' has shape {list(stored.shape)}, expected rows of {width}.",
                hint=REMAKE,
            )
        rows = [row for row in bundle.manifest.canary if row.get("kind") == channel][: len(stored)]
        numbers, keys = found(loaded, bundle, rows)
        if numbers:
            away = torch.linalg.vector_norm(keys - stored[numbers].float(), dim=1)
            yield Drift(channel, float(away.max()), float(radii.min()))


def _questions(
    loaded: LoadedModel | None, bundle: Bundle, rows: list[dict]
) -> tuple[list[int], torch.Tensor | None]:
    from okedit_cli.encoders.text import DEFAULT, text_vectors

    numbers = [i for i, row in enumerate(rows) if isinstance(row.get("prompt"), str)]
    if not numbers:
        return [], None
    encoder = str(bundle.manifest.site.get("text_encoder", DEFAULT))
    return numbers, bundle.codebook.project_question(
        text_vectors([rows[i]["prompt"] for i in numbers], encoder)
    )


def _pictures(
    loaded: LoadedModel | None, bundle: Bundle, rows: list[dict]
) -> tuple[list[int], torch.Tensor | None]:
    """Pictures by name; a name that this version's bank does not have is left out."""
    from okedit_cli.bank import load_bank
    from okedit_cli.methods.spaces import vectors_at

    if loaded is not None and loaded.processor is None:
        return [], None
    images = {picture.name: picture.image for picture in load_bank().pictures}
    numbers = [i for i, row in enumerate(rows) if row.get("name") in images][:PICTURES]
    if not numbers:
        return [], None
    point = str(bundle.manifest.site.get("picture_point"))
    return numbers, bundle.codebook.project_picture(
        vectors_at(point, loaded, [images[rows[i]["name"]] for i in numbers])
    )
