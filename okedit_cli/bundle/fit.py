"""Does a bundle belong to this base model? Exactly, as one of the same architecture, or not at all.

Names may differ, what decides answers may not: each difference is told in words, with both values. How far
the keys themselves have moved is for the canary to say (canary.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from okedit_cli.bundle.manifest import BundleWarning, Manifest
from okedit_cli.bundle.scope_only import refuse_attaching
from okedit_cli.errors import ModelMismatch

Grade = Literal["exact", "same architecture", "incompatible"]

_SIZES = {  # a bundle made for others cannot even be attached; in the order in which they are told
    "architecture": "the base model's architecture",
    "hidden_size": "the base model's hidden size",
    "layers": "the base model's number of layers",
    "vocab_size": "the base model's vocabulary size",
}
_FORM = {"form": "the form of the base model's weights"}  # told by bundles since it is known
_CONTENT = {  # what answers and keys depend on
    "weights": "the base model's weights",
    "tokenizer": "the tokenizer",
    "chat_template": "the chat template",
    "image_processor_class": "the class of the image processor",
    "image_processor": "the settings of the image processor",
}
_LABELS = {
    "name": "the base model's name",
    "revision": "the base model's revision",
    "dtype": "the dtype",
}
_WORDS = _SIZES | _FORM | _LABELS | _CONTENT
_EFFECTS = {
    "weights": "edits were fitted to other weights, so check what they do",
    "tokenizer": "questions may be cut otherwise",
    "chat_template": "prompts are put together otherwise",
    "image_processor_class": "slow and fast processors differ a little",
    "image_processor": "pictures may be seen otherwise",
    "dtype": "answers may differ a little",
}


PLAIN = "plain"  # weights as a checkpoint in floating point has them


class FitWarning(BundleWarning):
    """A bundle is attached to a model that is not exactly the one it was made with."""


@dataclass(frozen=True)
class Difference:
    """One field in which a model is not the one that a bundle was made with, and both values."""

    field: str
    made: Any
    found: Any

    @property
    def fatal(self) -> bool:
        """Whether it makes the bundle incompatible."""
        return self.field in _SIZES or self.field in _FORM

    @property
    def words(self) -> str:
        """A sentence: what differs, both values, and what may come of it."""
        effect = _EFFECTS.get(self.field)
        return (
            f"{_WORDS[self.field]} differs: the bundle was made with {_show(self.made)}, "
            f"this is {_show(self.found)}" + (f"; {effect}." if effect else ".")
        )


@dataclass(frozen=True)
class Fit:
    """How a bundle and a model go together; `untold` names the fields that only one side says."""

    differences: tuple[Difference, ...]
    untold: tuple[str, ...]

    @property
    def grade(self) -> Grade:
        """Exact, same architecture (some content or setting differs), or incompatible."""
        if any(one.fatal for one in self.differences):
            return "incompatible"
        return "same architecture" if self.differences else "exact"

    def warnings(self) -> list[str]:
        """Everything that differs, and what cannot be compared, in sentences."""
        untold = [f"{_WORDS[name]} cannot be compared: only one side says it." for name in self.untold]
        return [one.words for one in self.differences] + untold


def compare(base: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> Fit:
    """Compare the base model that a bundle names with a loaded one's fingerprint.

    A name is a folder's or a mirror's: it counts only where the weights do not say that it is the same model.
    """
    differences, untold = [], []
    same_weights = base.get("weights") is not None and base.get("weights") == fingerprint.get("weights")
    for name in _WORDS:
        label = name in _LABELS
        if name in _FORM:
            made, found = (one.get(name, PLAIN) for one in (base, fingerprint))
            if made != found and not same_weights:
                differences.append(Difference(name, made, found))
            continue
        if not label and (name in base) != (name in fingerprint):
            untold.append(name)
        elif base.get(name) != fingerprint.get(name) and not (name == "name" and same_weights):
            differences.append(Difference(name, base.get(name), fingerprint.get(name)))
    return Fit(tuple(differences), tuple(untold))


def check_fit(
    manifest: Manifest, fingerprint: Mapping[str, Any], *, strict: bool = False, content: bool = False
) -> list[str]:
    """Compare a bundle's base model with a loaded one's fingerprint; returns warnings in words.

    ModelMismatch names the first size or architecture that differs, with both values; under `content` the
    first weights or settings as well, under `strict` the first difference of any kind.
    """
    refuse_attaching(manifest.base)
    fit = compare(manifest.base, fingerprint)
    fatal = [one for one in fit.differences if one.fatal]
    softer = [one for one in fit.differences if strict or (content and one.field in _CONTENT)]
    refused = fatal or softer
    if not refused:
        return fit.warnings()
    model = " ".join(str(manifest.base[name]) for name in ("name", "revision") if manifest.base.get(name))
    first, others = refused[0], [_WORDS[one.field] for one in fit.differences if one != refused[0]]
    hint = f"Load {model or 'the model it was made with'} with -m, " + (
        "or leave out --strict." if strict and not fatal else "or make the edits for this model."
    )
    raise ModelMismatch(
        f"The bundle does not belong to this model: {_WORDS[first.field]} was {_show(first.made)} when the "
        f"bundle was made, here it is {_show(first.found)}"
        + (f" ({', '.join(others)} differ{'s' if len(others) == 1 else ''} as well)." if others else "."),
        hint=hint,
    )


def obstacle(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Why edits for two base models may not stand in one file; None where they may.

    Names, revisions and dtypes may differ, sizes, weights and settings may not.
    """
    for found in compare(one, other).differences:
        if found.fatal or found.field in _CONTENT:
            return f"{_WORDS[found.field]} was {_show(found.made)} in one, {_show(found.found)} in the other"
    return None


def _show(value: Any) -> str:
    """A value in words: hashes by their first 12 digits, None as "none"."""
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text[:80]
