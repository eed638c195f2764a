"""The safetensors container, without torch: 8 bytes of header length, a JSON header, then the tensors' bytes.

Everything a stranger's file claims is checked here before anything is read or allocated on its word. The
layout we write depends on names, dtypes and shapes alone: equal input gives equal bytes everywhere.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from okedit_cli.bundle.strict_json import MAX_NODES, REMAKE, parse_json
from okedit_cli.errors import InvalidBundle
from okedit_cli.facts.stand_ins import PULL, is_lfs_pointer

MAX_HEADER = 100_000_000  # bytes; the safetensors libraries refuse more as well
MAX_TENSORS = 4096  # a weight delta has two a weight that it changes
MAX_DIMENSIONS = 8
ALIGNMENT = 8
ITEM_SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}
NOT_OURS = "A bundle is a .safetensors file written by `okedit edit`."


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as the header describes it; start and end are bytes from the beginning of the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The manifest's text, the table of tensors, and where in the file their bytes begin."""

    text: str
    tensors: dict[str, TensorInfo]
    data_start: int


@contextmanager
def open_regular(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a bundle for reading; InvalidBundle for anything but a regular file (a pipe must not hang us)."""
    shown = os.fspath(path)
    try:
        handle = open(shown, "rb", opener=lambda p, flags: os.open(p, flags | getattr(os, "O_NONBLOCK", 0)))
    except FileNotFoundError:
        raise InvalidBundle(
            f"{shown}: there is no such bundle.",
            hint="Check the path; `okedit edit` says where it wrote the bundle.",
        ) from None
    except IsADirectoryError:
        raise InvalidBundle(
            f"{shown}: this is a folder, but a bundle is one .safetensors file.",
            hint="Name the file inside it.",
        ) from None
    except PermissionError:
        raise InvalidBundle(
            f"{shown}: no permission to read this bundle.", hint="Check the file's owner and mode."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise InvalidBundle(
            f"{shown}: the bundle cannot be opened ({reason}).", hint="Check the path."
        ) from None
    with handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise InvalidBundle(f"{shown}: this is not an ordinary file, but a bundle is.", hint=NOT_OURS)
        yield handle


def read_header(handle: BinaryIO, shown: str) -> Header:
    """Read and check the header of an open file; reads no tensor. InvalidBundle says what was expected."""
    size = os.fstat(handle.fileno()).st_size
    if size == 0:
        raise InvalidBundle(f"{shown}: the file is empty, expected a bundle.", hint=REMAKE)
    prefix = handle.read(8)
    length = int.from_bytes(prefix, "little")
    first = handle.read(1)
    if is_lfs_pointer(prefix + first + handle.read(100)):
        raise InvalidBundle(f"{shown}: this is a Git LFS pointer, not the bundle itself.", hint=PULL)
    handle.seek(9)
    if len(prefix) < 8 or first != b"{" or length < 2:
        raise InvalidBundle(f"{shown}: this is not a safetensors file, so not a bundle.", hint=NOT_OURS)
    if length > MAX_HEADER:
        raise InvalidBundle(
            f"{shown}: the header claims {length:,} bytes, the limit is {MAX_HEADER:,}.", hint=REMAKE
        )
    if 8 + length > size:
        raise InvalidBundle(
            f"{shown}: the file is cut short: its header alone needs {8 + length:,} bytes, it has {size:,}.",
            hint=REMAKE,
        )
    if length % ALIGNMENT:
        raise InvalidBundle(
            f"{shown}: the header's length {length} is not a multiple of {ALIGNMENT}.", hint=REMAKE
        )
    fields = parse_json(first + handle.read(length - 1), shown, "header")
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidBundle(f"{shown}: the header's __metadata__ must map names to text.", hint=REMAKE)
    if "okedit" not in metadata:
        raise InvalidBundle(
            f"{shown}: an ordinary safetensors file, without the `okedit` header of a bundle.", hint=NOT_OURS
        )
    return Header(metadata["okedit"], _read_table(fields, size - 8 - length, shown), 8 + length)


def _read_table(fields: Mapping[str, Any], available: int, shown: str) -> dict[str, TensorInfo]:
    """Check the table of tensors against `available` bytes of data: no gap, no overlap, nothing left over."""
    if len(fields) > MAX_TENSORS:
        raise InvalidBundle(
            f"{shown}: the header lists {len(fields):,} tensors, the limit is {MAX_TENSORS}.", hint=REMAKE
        )
    tensors = {name: _read_info(entry, f"{shown}: tensor {name[:80]!r}") for name, entry in fields.items()}
    position = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != position:
            kind = "overlaps the one before" if info.start < position else "leaves a gap before it"
            raise InvalidBundle(f"{shown}: tensor {name[:80]!r} {kind}.", hint=REMAKE)
        if info.start % ITEM_SIZES[info.dtype]:
            raise InvalidBundle(
                f"{shown}: tensor {name[:80]!r} is not aligned to its item size.", hint=REMAKE
            )
        position = info.end
    if position != available:
        kind = "is cut short" if position > available else "has bytes that belong to no tensor"
        raise InvalidBundle(
            f"{shown}: the file {kind}: its tensors need {position:,} bytes, it holds {available:,}.",
            hint=REMAKE,
        )
    return tensors


def _read_info(entry: Any, where: str) -> TensorInfo:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidBundle(f"{where} must have dtype, shape and data_offsets.", hint=REMAKE)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise InvalidBundle(
            f"{where} has dtype {str(dtype)[:20]!r}, expected one of {', '.join(ITEM_SIZES)}.", hint=REMAKE
        )
    for numbers, limit in ((shape, MAX_DIMENSIONS), (offsets, 2)):
        if (
            not isinstance(numbers, list)
            or len(numbers) > limit
            or not all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        ):
            raise InvalidBundle(
                f"{where} has a shape or offsets that are not small lists of sizes.", hint=REMAKE
            )
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * ITEM_SIZES[dtype]:
        raise InvalidBundle(f"{where} has offsets that do not hold {dtype} of shape {shape}.", hint=REMAKE)
    return TensorInfo(dtype, tuple(shape), *offsets)


def plan_table(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, TensorInfo]:
    """Lay tensors (name -> dtype, shape) out: wide items first, so that each is aligned, then by name."""
    table, position = {}, 0
    for name in sorted(tensors, key=lambda name: (-ITEM_SIZES[tensors[name][0]], name)):
        dtype, shape = tensors[name]
        end = position + math.prod(shape) * ITEM_SIZES[dtype]
        table[name] = TensorInfo(dtype, tuple(shape), position, end)
        position = end
    return table


def render_header(text: str, table: Mapping[str, TensorInfo], shown: str) -> bytes:
    """Length prefix and header as bytes, padded to a multiple of 8; InvalidBundle above the limits."""
    fields: dict[str, Any] = {"__metadata__": {"okedit": text}}
    for name, info in table.items():
        fields[name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [info.start, info.end],
        }
    raw = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    raw += b" " * (-len(raw) % ALIGNMENT)
    if len(raw) > MAX_HEADER or sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MAX_NODES:
        raise InvalidBundle(
            f"{shown}: the facts need a header of {len(raw):,} bytes, the limit is {MAX_HEADER:,} bytes "
            f"or {MAX_NODES:,} values.",
            hint="Split the facts over several bundles; they attach together.",
        )
    return len(raw).to_bytes(8, "little") + raw
