"""The manifest: what a bundle says about itself, as canonical JSON under `okedit` in the header. No torch.

Canonical means sorted keys, no spaces, no escapes for non-ASCII. `checksum` is the sha256 of that very text
with 64 zeros in its place; `tensors` holds a sha256 for each tensor, so one number vouches for the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from okedit_cli.bundle.lines import (
    TENSORS,
    BundleWarning,
    Lines,
    canonical,
    check_facts,
    typed,
    unknown_fields,
    unwritable,
)
from okedit_cli.bundle.strict_json import REMAKE, parse_json
from okedit_cli.errors import InvalidBundle

__all__ = ["BundleWarning", "Manifest", "parse_manifest", "render_manifest"]

FORMAT = "2.0"
BLANK = "0" * 64
_SLOT = f'"checksum":"{BLANK}"'

_SHAPES = {
    "format": str,
    "kind": str,
    "base": dict,
    "site": dict,
    "method": str,
    "facts": list,
    "settings": dict,
    "versions": dict,
    "bank": str,
    "canary": list,
    "dropped": list,
    "sources": list,
    "shard": dict,
    "tensors": dict,
}
_REQUIRED = ("format", "base", "site", "method", "facts", "tensors", "checksum")
_BASE = {"architecture": str, "hidden_size": int, "layers": int}
_PATH = re.compile(r"""(?:^|[\s'"=(\[,])(?:~|/[\w.@+-]+|file:/|[A-Za-z]:\\|\\\\)[/\\\w.@+-]*[/\\][\w.@+-]+""")


@dataclass
class Manifest:
    """What a bundle says about itself; the README in bundles/ explains every field.

    `base` is the fingerprint of the base model; `facts[i]` belongs to row i of a codebook or memory;
    `dropped` and `sources` describe optional tensors; `tensors` (dtype, shape, sha256 by name) is filled in
    when a file is written or read; `facts` and `dropped` of a large file are read when they are asked for;
    `extra` keeps the fields that this version does not know, `unknown` names them.
    """

    base: dict[str, Any]
    site: dict[str, Any]
    method: str
    facts: list[dict[str, Any]] | Lines
    kind: str = "codebook"  # of the edit set (bundle/kinds.py); files before format 2.0 do not say it
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    bank: str = ""
    canary: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] | Lines = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    shard: dict[str, Any] = field(default_factory=dict)  # of which whole it is a part (bundle/shards.py)
    format: str = FORMAT
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)
    extra: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list, compare=False)

    def __len__(self) -> int:
        """The number of facts."""
        return len(self.facts)


def render_manifest(manifest: Manifest, tensors: Mapping[str, dict[str, Any]], shown: str) -> str:
    """The manifest as canonical JSON with its checksum; `tensors` maps names to dtype, shape and sha256.

    InvalidBundle when a field has the wrong type, holds NaN or bad text, or names a path of this machine.
    """
    values = {name: getattr(manifest, name) for name in _SHAPES}
    values["tensors"] = dict(tensors)
    for name, tensor in TENSORS.items():
        if tensor in tensors:
            values.pop(name)
        else:
            values[name] = list(values[name])
    _check(values, shown)
    _refuse_paths({name: value for name, value in values.items() if name not in TENSORS}, shown)
    for fact in values.get("facts", ()):
        refuse_path_in_report(fact, shown)
    if manifest.format.startswith("1."):  # read from such a file: what that format does not know stays out
        values.pop("kind")
    optional = ("settings", "versions", "bank", "canary", "dropped", "sources", "shard")
    document = {name: value for name, value in values.items() if value or name not in optional}
    document = {**manifest.extra, **document, "checksum": BLANK}
    try:
        text = canonical(document)
        if text.count(_SLOT) != 1:
            raise ValueError("a nested field is called checksum and is all zeros")
        return text.replace(_SLOT, _SLOT.replace(BLANK, hashlib.sha256(text.encode("utf-8")).hexdigest()))
    except (ValueError, TypeError, RecursionError) as error:
        raise unwritable(shown, error) from None


def parse_manifest(text: str, shown: str, lines: Mapping[str, bytes] | None = None) -> Manifest:
    """The manifest from its JSON text. A newer major version is refused; unknown fields are kept.

    `lines` holds the tensors of text that stand for a list of facts, by their names.
    """
    document = parse_json(text, shown, "manifest")
    if not isinstance(document, dict):
        raise InvalidBundle(f"{shown}: the manifest must be a JSON object.", hint=REMAKE)
    check_version(document.get("format"), shown)
    texts = {kind: lines[name] for kind, name in TENSORS.items() if lines and name in lines}
    missing = [name for name in _REQUIRED if name not in document and name not in texts]
    if missing:
        raise InvalidBundle(f"{shown}: the manifest lacks {', '.join(missing)}.", hint=REMAKE)
    checksum = document.pop("checksum")
    if (
        not isinstance(checksum, str)
        or not re.fullmatch("[0-9a-f]{64}", checksum)
        or text.count(checksum) != 1
        or hashlib.sha256(text.replace(checksum, BLANK).encode("utf-8")).hexdigest() != checksum
    ):
        raise InvalidBundle(
            f"{shown}: the manifest does not match its checksum: it was changed after it was written.",
            hint=REMAKE,
        )
    known = {name: document.pop(name) for name in _SHAPES if name in document}
    for kind, data in texts.items():
        entry = known["tensors"].get(TENSORS[kind]) if isinstance(known["tensors"], dict) else None
        sha256 = entry.get("sha256") if isinstance(entry, dict) else None
        if kind in known or hashlib.sha256(data).hexdigest() != sha256:
            raise InvalidBundle(
                f"{shown}: the {kind} are listed twice or do not match their checksum.", hint=REMAKE
            )
    _check(known, shown)
    unknown = [name[:80] for name in sorted(document)] + unknown_fields(known.get("facts", ()))
    known |= {kind: Lines(data, kind, shown) for kind, data in texts.items()}
    return Manifest(**known, extra=document, unknown=unknown)


def check_version(version: Any, shown: str) -> None:
    """InvalidBundle unless `version` is "major.minor" with a major version that this okedit reads."""
    ours = int(FORMAT.split(".")[0])
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", version, re.ASCII) if isinstance(version, str) else None
    if match is None or int(match[1]) < 1:
        raise InvalidBundle(
            f"{shown}: the manifest's format is {str(version)[:40]!r}, expected one such as {FORMAT!r}.",
            hint=REMAKE,
        )
    if int(match[1]) > ours:
        raise InvalidBundle(
            f"{shown}: the bundle has format {version}, this okedit reads formats up to {ours}.x ({FORMAT}).",
            hint="Upgrade with `pip install -U okedit`.",
        )


def _check(values: Mapping[str, Any], shown: str) -> None:
    """InvalidBundle naming the first field that is not of the documented type, or facts that share an id."""
    typed(values, {}, _SHAPES, f"{shown}: the manifest's")
    typed(values["base"], _BASE, {}, f"{shown}: base model's")
    for kind in TENSORS:
        check_facts(values.get(kind, ()), kind, shown)
    for kind in ("canary", "sources"):
        if not all(isinstance(entry, dict) for entry in values.get(kind, ())):
            raise InvalidBundle(
                f"{shown}: the manifest's {kind} must be a list of JSON objects.", hint=REMAKE
            )
    for name, entry in values["tensors"].items():
        if not isinstance(entry, dict) or not re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256"))):
            raise InvalidBundle(f"{shown}: the manifest has no sha256 for tensor {name[:80]!r}.", hint=REMAKE)


def _strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _strings(child, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _strings(child, where)


def refuse_path_in_report(fact: Mapping[str, Any], shown: str) -> None:
    """InvalidBundle where a fact's report names a path; its own words may say anything."""
    _refuse_paths(fact.get("report") or {}, f"{shown}: report of fact {fact['id']!r}")


def _refuse_paths(values: Mapping[str, Any], shown: str) -> None:
    """A bundle travels: no field except the user's own words may name a path of the machine that made it."""
    for name, value in values.items():
        for where, text in _strings(value, str(name)):
            if _PATH.search(text):
                raise InvalidBundle(
                    f"{shown}: the manifest's {where} holds a path of this machine: {text[:80]!r}.",
                    hint="Record the last part of the path, or a hash of what it names.",
                )
