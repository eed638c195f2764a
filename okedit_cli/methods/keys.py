"""Keys and radii of one fact: what it is recognised by, and how far it reaches in each channel.

Question channel: a key for each of the owner's own wordings; what lies near enough is judged by the pair
classifier. Picture channel: a key for each of the owner's pictures and, of several, for their mean. The
radius lies between positives (views of the pictures) and negatives (pictures to keep): eps = d_pos + t
(d_neg - d_pos), BalancEdit's radius (ICML 2025, section 4.2), and never beyond the calibrated one. Not
here: whether a query asks for the fact (scope/classifier.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.encoders.text import DEFAULT, text_vectors
from okedit_cli.methods.base import Scope
from okedit_cli.methods.spaces import Spaces
from okedit_cli.scope.calibration import calibration
from okedit_cli.scope.texts import asked, is_judged, keys_of

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

BALANCE = 0.8  # t: 0 hugs the positives, 1 touches the nearest negative
REACHED = 0.75  # share of the positives that d_pos covers
TIGHT = 0.75  # of the calibrated radius, for a fact about one picture where no view can be verified


@dataclass(frozen=True)
class Reach:
    """Keys [k, r] of one channel with d_pos, d_neg and the radius (0 when none exists)."""

    keys: torch.Tensor
    d_pos: float
    d_neg: float
    radius: float

    @property
    def exists(self) -> bool:
        """Whether there is a radius that leaves every negative out."""
        return self.radius > 0


def question_reach(fact: Fact, encoder: str = DEFAULT, radius: float | None = None) -> Reach:
    """Keys of the owner's wordings; the radius within which the classifier is asked, the same for every
    fact.
    """
    texts = dict.fromkeys(key for text in (fact.prompt, *fact.rephrases) for key in keys_of(text))
    keys = text_vectors(list(texts), encoder)
    return Reach(keys, 0.0, float("inf"), calibration().text_radius if radius is None else radius)


def picture_reach(loaded: LoadedModel, spaces: Spaces, kind: bool, samples: Sequence[Sample]) -> Reach:
    """Keys and radius of the owner's pictures; positives are views of them, negatives pictures to keep."""
    own = pictures_of(samples, origin="user")
    keys = spaces.keys(loaded, own)
    seen = pictures_of(samples, origin="transform")
    views = spaces.keys(loaded, seen) if seen else keys[:1]
    kept = unique(
        [
            s.picture
            for s in samples
            if s.role == "negative" and s.origin == "user" and s.cell.startswith("other")
        ]
    )
    if kind and len(keys) > 1:
        keys = torch.cat([keys, mean_key(keys)])
    d_pos = float(torch.cdist(views, keys).amin(1).quantile(REACHED))
    d_neg = float(torch.cdist(spaces.keys(loaded, kept), keys).min()) if kept else float("inf")
    calibrated = spaces.radius(keys) * (1.0 if kind else TIGHT)
    if d_neg == float("inf"):
        return Reach(keys, d_pos, d_neg, calibrated)
    d_pos = min(d_pos, calibrated)
    radius = min(calibrated, d_pos + BALANCE * (d_neg - d_pos)) if d_pos < d_neg else 0.0
    return Reach(keys, d_pos, d_neg, radius)


def mean_key(keys: torch.Tensor) -> torch.Tensor:
    """The mean of unit keys [1, r], again of the length that they have."""
    return F.normalize(keys.mean(0, keepdim=True), dim=1) * keys.norm(dim=1).mean()


def pictures_of(samples: Sequence[Sample], origin: str) -> list:
    """Pictures of the edit and its positives, of one origin, each once, the edit's own first."""
    return unique([s.picture for s in samples if s.role in ("edit", "positive") and s.origin == origin])


def unique(pictures: Sequence) -> list:
    """The same picture objects once, in order; no picture is none."""
    return list({id(p): p for p in pictures if p is not None}.values())


def judged(question: Reach, picture: Reach | None, why: str = "") -> Scope:
    """The channel that binds, and what is to be said when no radius exists, or already (`why`)."""
    channel, found = ("picture", picture) if picture else ("question", question)
    if not found.exists:
        kinds = ("view of its picture", "picture") if picture else ("rewording", "question")
        why = (
            f"this fact will over-reach: a {kinds[0]} lies {found.d_pos:.3g} away, and a {kinds[1]} to be"
            f" left alone no farther, {found.d_neg:.3g}"
        )
    return Scope(channel, found.d_pos, found.d_neg, found.radius, why)


def unjudged(fact: Fact, encoder: str) -> str:
    """Why the classifier cannot compare a fact's prompt with questions; "" where it can, or need not."""
    if encoder != DEFAULT or is_judged(fact.prompt):
        return ""
    count = len(asked(fact.prompt).split())
    return (
        f"this fact will over-reach: its prompt asks in a sentence of {count} words, too long to be compared"
        " with others; put the question into a sentence of its own"
    )
