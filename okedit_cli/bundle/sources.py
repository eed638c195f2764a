"""Pictures inside a bundle, so that its facts can be fitted to another model from the bundle alone.

The tensor `sources` holds the picture files one after another; the manifest's `sources` lists sha256 and
size of each, sorted by sha256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.header import REMAKE
from okedit_cli.errors import InvalidBundle


def put_sources(bundle: Bundle, pictures: Iterable[bytes]) -> None:
    """Store picture files in a bundle, each once; without any, the bundle has no sources."""
    files = {hashlib.sha256(data).hexdigest(): data for data in pictures}
    bundle.manifest.sources = [{"sha256": name, "size": len(files[name])} for name in sorted(files)]
    bundle.extras.pop("sources", None)
    if files:
        joined = bytearray().join(files[name] for name in sorted(files))
        bundle.extras["sources"] = torch.frombuffer(joined, dtype=torch.uint8)


def get_sources(bundle: Bundle) -> Mapping[str, bytes]:
    """Picture files by sha256; InvalidBundle when sizes or hashes are not those of the manifest."""
    data, out, start = bundle.extras.get("sources"), {}, 0
    if data is not None and (data.dim() != 1 or data.dtype != torch.uint8):
        raise InvalidBundle("The bundle's pictures must be a row of bytes.", hint=REMAKE)
    for entry in bundle.manifest.sources:
        size = entry.get("size")
        if data is None or type(size) is not int or not 0 <= size <= len(data) - start:
            raise InvalidBundle("The bundle lists pictures that it does not hold.", hint=REMAKE)
        out[str(entry.get("sha256"))] = data[start : start + size].numpy().tobytes()
        start += size
    if any(hashlib.sha256(picture).hexdigest() != name for name, picture in out.items()):
        raise InvalidBundle("A picture in the bundle does not match its checksum.", hint=REMAKE)
    return out


def used_sources(facts: Iterable[Mapping]) -> set[str]:
    """sha256 of every picture that facts refer to, wherever in them."""
    found: set[str] = set()
    stack: list = list(facts)
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
        elif isinstance(value, str) and len(value) == 64:
            found.add(value)
    return found
