"""Does a bundle belong to this base model? Names may differ, what decides answers may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okedit_cli.bundle.manifest import Manifest
from okedit_cli.errors import ModelMismatch

_NAMED = {  # in the order in which a difference is told: the plainest first
    "architecture": "the base model's architecture",
    "hidden_size": "the base model's hidden size",
    "layers": "the base model's number of layers",
    "vocab_size": "the base model's vocabulary size",
    "weights": "the base model's weights",
    "tokenizer": "the tokenizer",
    "chat_template": "the chat template",
    "image_processor_class": "the class of the image processor",
    "image_processor": "the settings of the image processor",
}
_HINTS = {
    "weights": "Another revision or a fine-tuned copy? Load {model}, or make the edits for this one.",
    "tokenizer": "Load the tokenizer that came with {model}.",
    "chat_template": "Use the chat template that came with {model}.",
    "image_processor_class": "Load the image processor that came with {model}; slow and fast ones differ.",
    "image_processor": "Use the image processor's settings that came with {model}.",
}
_SOFT = {"name": "the base model's name", "revision": "the base model's revision", "dtype": "the dtype"}


def check_fit(manifest: Manifest, fingerprint: Mapping[str, Any], *, strict: bool = False) -> list[str]:
    """Compare a bundle's base model with a loaded one's fingerprint; returns warnings in words.

    ModelMismatch names the first field that differs and both values. Name, revision and dtype only warn,
    unless `strict`.
    """
    base = manifest.base
    model = (
        " ".join(str(part) for part in (base.get("name"), base.get("revision")) if part)
        or "the bundle's base model"
    )
    warnings = []
    for name, words in _NAMED.items():
        if name not in base or name not in fingerprint:
            if name in base or name in fingerprint:
                warnings.append(f"{words} cannot be compared: only one side says it.")
            continue
        if base[name] != fingerprint[name]:
            raise _mismatch(
                words,
                base[name],
                fingerprint[name],
                _HINTS.get(name, "Load {model} with -m, or make the edits for this model.").format(
                    model=model
                ),
            )
    for name, words in _SOFT.items():
        if base.get(name) != fingerprint.get(name):
            if strict:
                raise _mismatch(
                    words, base.get(name), fingerprint.get(name), f"Load {model}, or leave out --strict."
                )
            warnings.append(
                f"{words} differs: the bundle was made with {_show(base.get(name))}, "
                f"this is {_show(fingerprint.get(name))}."
            )
    return warnings


def _mismatch(words: str, made: Any, found: Any, hint: str) -> ModelMismatch:
    return ModelMismatch(
        f"The bundle does not belong to this model: {words} was {_show(made)} when the bundle was made, "
        f"here it is {_show(found)}.",
        hint=hint,
    )


def _show(value: Any) -> str:
    """A value in words: hashes by their first 12 digits, None as "none"."""
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text[:80]
