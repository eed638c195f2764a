"""A bundle in memory and on disk: one edit set with the manifest that explains it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from okedit_cli.bundle.atomic import atomic_write
from okedit_cli.bundle.checks import DROPPED, DROPPED_SMALL, check_records
from okedit_cli.bundle.header import REMAKE, Header, open_regular, plan_table, read_header, render_header
from okedit_cli.bundle.kinds import KINDS, LAYER, THUMBNAILS, kind_named
from okedit_cli.bundle.lines import MOST, TENSORS, lines_of
from okedit_cli.bundle.manifest import (
    FORMAT,
    BundleWarning,
    Manifest,
    parse_manifest,
    refuse_path_in_report,
    render_manifest,
)
from okedit_cli.errors import InvalidBundle, UsageError

if TYPE_CHECKING:
    import torch

    from okedit_cli.edits.base import EditSet
    from okedit_cli.edits.codebook import Codebook

CANARY = ("canary_picture", "canary_question")
TEXT = tuple(TENSORS.values())  # facts of a large bundle as lines of JSON
OPTIONAL = (*THUMBNAILS, LAYER, *DROPPED, *DROPPED_SMALL, *TEXT, "reference_pictures", "sources")
LEGACY = (
    "picture_cover_",
    "question_cover_",
    "picture_sketch_",
    "question_sketch_",
    "picture_reach",
    "question_reach",
)
WHOLE = ("picture_owner", "question_owner", "thumbnail_owner", LAYER)  # int64
FLOATS = ("F32", "F16", "BF16")
BYTES = ("thumbnails",)  # uint8; every other tensor of the codebook is of floating point
UNREAD = (  # large: read when they are used, or by verify
    "value_down", "value_up", "value_bias", "picture_keys", "question_keys", "dropped_picture_keys",
    "dropped_question_keys", "sources",
)  # fmt: skip
UNREAD_PREFIX = "delta."


@dataclass
class Bundle:
    """Edits ready to attach. `canary` has canary_picture and canary_question [rows, d], `extras` the rest."""

    manifest: Manifest
    edits: EditSet
    canary: dict[str, torch.Tensor] = field(default_factory=dict)
    extras: dict[str, torch.Tensor] = field(default_factory=dict)
    name: str = field(default="", compare=False)  # of the file it was read from, for people

    def __len__(self) -> int:
        """The number of edits."""
        return len(self.edits)

    @property
    def codebook(self) -> Codebook:
        """The edits as rows of keys, radii and values, which can be merged, removed and added to.

        UsageError for edits of another kind.
        """
        if self.edits.kind != "codebook":
            raise UsageError(
                f"{self.name or 'The bundle'} holds {KINDS[self.edits.kind].words}"
                f" ({self.manifest.method}), whose edits have no keys and radii of their own, so they cannot"
                " be merged, removed or added to.",
                hint="Make its edits again from their fact file, or attach several bundles together.",
            )
        return self.edits

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor by the name it has in the file."""
        return {**self.edits.tensors(), **self.canary, **self.extras}

    def save(self, path: str | os.PathLike) -> None:
        """Write the bundle whole or not at all; equal bundles give equal bytes.

        InvalidBundle for content that a reader would refuse, OkeditError for what the disk refuses.
        """
        from okedit_cli.bundle.tensors import dtype_name, write_tensors

        shown = os.fspath(path)
        type(self.edits).from_tensors(self.edits.tensors())
        self.manifest.kind = self.edits.kind
        tensors = {**self.tensors(), **self._text(shown)}
        table = plan_table(
            {name: (dtype_name(name, tensor, shown), tuple(tensor.shape)) for name, tensor in tensors.items()}
        )
        entries = {
            name: {"dtype": info.dtype, "shape": list(info.shape), "sha256": "0" * 64}
            for name, info in table.items()
        }
        self._check_counts(shown)
        # every sha256 is 64 characters, so the header's length is known before the first byte is hashed
        start = len(render_header(render_manifest(self.manifest, entries, shown), table, shown))
        with atomic_write(path) as handle:
            for name, found in write_tensors(handle, start, table, tensors, shown).items():
                entries[name]["sha256"] = found
            header = render_header(render_manifest(self.manifest, entries, shown), table, shown)
            if len(header) != start:
                raise AssertionError("the header changed its length while the tensors were written")
            handle.seek(0)
            handle.write(header)
        self.manifest.tensors = entries

    def _text(self, shown: str) -> dict[str, torch.Tensor]:
        """Facts as tensors, where they are too many for the manifest to list."""
        import torch

        found = {}
        for kind, name in TENSORS.items():
            facts = getattr(self.manifest, kind)
            if len(facts) > MOST:
                data = lines_of(facts, kind, shown)
                for fact in facts if kind == "facts" else ():
                    refuse_path_in_report(fact, shown)
                found[name] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return found

    @classmethod
    def load(cls, path: str | os.PathLike, *, verify: bool = False) -> Bundle:
        """Open a bundle. Values stay on disk until they are used; `verify=True` reads and hashes every byte.

        InvalidBundle says which file, what was expected and what to do.
        """
        from okedit_cli.bundle.tensors import blocks, check_finite, digest, map_tensors

        shown = os.fspath(path)
        with open_regular(path) as handle:
            header = read_header(handle, shown)
            manifest = _manifest(handle, header, shown)
            tensors = map_tensors(handle, header)
        for name in TEXT:
            tensors.pop(name, None)
        for facts in (manifest.facts, manifest.dropped) if verify else ():
            list(facts)
        for name, tensor in tensors.items():
            if verify or not (name in UNREAD or name.startswith(UNREAD_PREFIX)):
                check_finite(name, blocks(tensor), shown)
            if verify and digest(tensor) != manifest.tensors[name]["sha256"]:
                raise InvalidBundle(
                    f"{shown}: tensor {name!r} does not match its checksum: the file is damaged.", hint=REMAKE
                )
        return cls._assemble(manifest, tensors, shown)

    @classmethod
    def _assemble(cls, manifest: Manifest, tensors: dict[str, torch.Tensor], shown: str) -> Bundle:
        kind = kind_named(manifest.kind, shown)
        try:
            own = [name for name in tensors if kind.owns(name)]
            edits = kind.of().from_tensors({name: tensors.pop(name) for name in own})
        except InvalidBundle as error:
            raise InvalidBundle(f"{shown}: {error.message}", hint=REMAKE) from None
        for name in [name for name in tensors if name.startswith(LEGACY)]:
            del tensors[name]
        canary = {name: tensors.pop(name) for name in CANARY if name in tensors}
        bundle = cls(manifest, edits, canary, tensors, os.path.basename(shown))
        bundle._check_counts(shown)
        return bundle

    def _check_counts(self, shown: str) -> None:
        """Rows of tensors against what the manifest lists."""
        rows = {
            "canary": self.canary,
            "dropped": _pick(self.extras, "dropped_picture_radius", "dropped_question_radius"),
        }
        if len(self.edits) != len(self.manifest.facts):
            raise InvalidBundle(
                f"{shown}: the manifest lists {len(self.manifest.facts)} facts, but the {self.edits.kind} "
                f"has {len(self.edits)} edits.",
                hint=REMAKE,
            )
        for listed, tensors in rows.items():
            for name, tensor in tensors.items():
                count = len(getattr(self.manifest, listed))
                if tensor.dim() == 0 or len(tensor) > count or (len(tensor) < count and listed != "canary"):
                    raise InvalidBundle(
                        f"{shown}: the manifest lists {count} {listed}, but tensor {name!r} has shape "
                        f"{list(tensor.shape)}.",
                        hint=REMAKE,
                    )
        if self.edits.kind == "codebook":
            check_records(self, shown)


def read_manifest(path: str | os.PathLike) -> Manifest:
    """What a bundle says about itself, from its header alone: needs no torch and reads no tensor."""
    shown = os.fspath(path)
    with open_regular(path) as handle:
        return _manifest(handle, read_header(handle, shown), shown)


def _manifest(handle: BinaryIO, header: Header, shown: str) -> Manifest:
    """The manifest, checked against the table of tensors."""
    manifest = parse_manifest(header.text, shown, _lines(handle, header))
    kind = kind_named(manifest.kind, shown)
    missing = [name for name in kind.required if name not in header.tensors]
    if missing:
        raise InvalidBundle(f"{shown}: the bundle lacks the tensor {missing[0]!r}.", hint=REMAKE)
    for name in sorted({*header.tensors, *manifest.tensors}):
        info, entry = header.tensors.get(name), manifest.tensors.get(name, {})
        found = (info.dtype, list(info.shape)) if info else None
        if found != (entry.get("dtype"), entry.get("shape")):
            raise InvalidBundle(
                f"{shown}: tensor {name[:80]!r} is not the one that the manifest lists.", hint=REMAKE
            )
        if kind is KINDS["codebook"] and kind.owns(name):
            wanted = "I64" if name in WHOLE else "U8" if name in BYTES else "a floating point one"
            if info.dtype != wanted and (wanted in ("I64", "U8") or info.dtype not in FLOATS):
                raise InvalidBundle(
                    f"{shown}: tensor {name!r} has dtype {info.dtype}, expected {wanted}.", hint=REMAKE
                )
    known = {*CANARY, *OPTIONAL}
    # those of older files (LEGACY) are left aside when tensors are read
    unknown = sorted(
        name
        for name in header.tensors
        if name not in known and not kind.owns(name) and not name.startswith(LEGACY)
    )
    manifest.unknown += [f"tensor {name[:80]}" for name in unknown]
    if manifest.unknown:
        warnings.warn(
            f"{shown}: written as format {manifest.format}, it has fields that this okedit (format {FORMAT}) "
            f"does not know and leaves aside: {', '.join(manifest.unknown[:10])}.",
            BundleWarning,
            stacklevel=4,
        )
    edits = header.tensors["picture_radius"].shape if kind is KINDS["codebook"] else None
    if edits is not None and edits != (len(manifest.facts),):
        raise InvalidBundle(
            f"{shown}: the manifest lists {len(manifest.facts)} facts, but the codebook has radii of shape "
            f"{list(edits)}.",
            hint=REMAKE,
        )
    return manifest


def _lines(handle: BinaryIO, header: Header) -> dict[str, bytes]:
    """The bytes of the tensors that are text."""
    found = {}
    for name in TEXT:
        info = header.tensors.get(name)
        if info is not None and info.dtype == "U8":
            handle.seek(header.data_start + info.start)
            found[name] = handle.read(info.end - info.start)
    return found


def _pick(tensors: Mapping[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: tensors[name] for name in names if name in tensors}
