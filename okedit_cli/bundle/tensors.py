"""Tensors of a bundle: mapped from the file, checked, hashed, written. Needs torch, unlike its neighbours."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

import torch

from okedit_cli.bundle.header import ITEM_SIZES, REMAKE, Header, TensorInfo
from okedit_cli.errors import InvalidBundle

DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAY_BE_INFINITE = (
    "picture_radius",
    "question_radius",
    "dropped_picture_radius",
    "dropped_question_radius",
    "picture_reach",  # of older files
    "question_reach",
)  # an infinite radius leaves the channel open
BLOCK = 1 << 24  # bytes handled at a time
ROWS = 2048  # edits handled at a time


def map_tensors(handle: BinaryIO, header: Header) -> dict[str, torch.Tensor]:
    """All tensors of an open file as views of a private mapping: nothing is read until it is used.

    The mapping belongs to the tensors and outlives the handle; a later save of that name does not disturb it.
    """
    if not any(info.end for info in header.tensors.values()):
        return {
            name: torch.empty(info.shape, dtype=DTYPES[info.dtype]) for name, info in header.tensors.items()
        }
    mapping = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors = {}
    for name, info in header.tensors.items():
        count = (info.end - info.start) // ITEM_SIZES[info.dtype]
        if count == 0:
            tensors[name] = torch.empty(info.shape, dtype=DTYPES[info.dtype])
        else:
            flat = torch.frombuffer(
                mapping, dtype=DTYPES[info.dtype], count=count, offset=header.data_start + info.start
            )
            tensors[name] = flat.view(info.shape)
    return tensors


class Pieces:
    """Chosen rows of several tensors [n, ..., d], to be written one after another without holding them all.

    A smaller rank (the middle dimension) is padded with zeros, which add nothing; dtypes are only widened.
    """

    def __init__(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """`parts` are tensors with the rows [m] to take from each."""
        self.parts = list(parts)
        self.dtype = parts[0][0].dtype
        for tensor, _ in parts[1:]:
            self.dtype = torch.promote_types(self.dtype, tensor.dtype)
        middle = [max(tensor.shape[1] for tensor, _ in parts)] if parts[0][0].dim() == 3 else []
        self.shape = (sum(len(rows) for _, rows in parts), *middle, parts[0][0].shape[-1])

    def blocks(self) -> Iterator[torch.Tensor]:
        """Some rows at a time, [k, ..., d]."""
        for tensor, rows in self.parts:
            for some in rows.split(ROWS) if len(rows) else ():
                block = tensor[some].to(self.dtype)
                if block.shape[1:] != self.shape[1:]:
                    block = torch.nn.functional.pad(block, (0, 0, 0, self.shape[1] - block.shape[1]))
                yield block

    def tensor(self) -> torch.Tensor:
        """All rows as one tensor."""
        out, start = torch.empty(self.shape, dtype=self.dtype), 0
        for block in self.blocks():
            out[start : start + len(block)] = block
            start += len(block)
        return out


def blocks(tensor: torch.Tensor | Pieces) -> Iterator[torch.Tensor]:
    """Flat, contiguous pieces of a tensor on the CPU, small enough to hold."""
    if isinstance(tensor, Pieces):
        yield from (block.reshape(-1) for block in tensor.blocks())
        return
    if tensor.numel() == 0:
        return
    if tensor.is_contiguous():
        yield from tensor.reshape(-1).split(BLOCK // tensor.element_size())
        return
    for row in tensor if tensor.dim() > 1 else (tensor,):
        yield row.contiguous().reshape(-1)


def as_bytes(piece: torch.Tensor) -> memoryview:
    """The bytes of a flat tensor, little-endian, without a copy where it is on the CPU already."""
    return memoryview(piece.detach().cpu().contiguous().view(torch.uint8).numpy())


def check_finite(name: str, pieces: Iterable[torch.Tensor], shown: str) -> None:
    """InvalidBundle when a tensor holds NaN or infinity; a radius may be infinite but not negative."""
    for piece in pieces:
        if not piece.is_floating_point():
            return
        if name in MAY_BE_INFINITE:
            if not bool((piece >= 0).all()):
                raise InvalidBundle(
                    f"{shown}: tensor {name!r} holds a radius that is negative or not a number.", hint=REMAKE
                )
        elif piece.numel() and not all(map(torch.isfinite, piece.aminmax())):  # NaN is both
            raise InvalidBundle(
                f"{shown}: tensor {name!r} holds values that are not finite numbers.", hint=REMAKE
            )


def digest(tensor: torch.Tensor) -> str:
    """sha256 of a tensor's bytes."""
    found = hashlib.sha256()
    for piece in blocks(tensor):
        found.update(as_bytes(piece))
    return found.hexdigest()


def write_tensors(
    handle: BinaryIO,
    start: int,
    table: Mapping[str, TensorInfo],
    sources: Mapping[str, torch.Tensor],
    shown: str,
) -> dict[str, str]:
    """Write tensors from byte `start` on in the order of the table, checking them; returns their sha256."""
    digests = {}
    handle.seek(start)
    for name in table:
        found = hashlib.sha256()
        for piece in blocks(sources[name]):
            check_finite(name, (piece,), shown)
            data = as_bytes(piece)
            found.update(data)
            handle.write(data)
        digests[name] = found.hexdigest()
    return digests


def dtype_name(name: str, tensor: torch.Tensor, shown: str) -> str:
    """The safetensors name of a tensor's dtype; InvalidBundle when a bundle does not take it."""
    if tensor.dtype not in NAMES:
        raise InvalidBundle(
            f"{shown}: tensor {name!r} is {tensor.dtype}, expected one of {', '.join(NAMES.values())}.",
            hint="Convert it to float32.",
        )
    return NAMES[tensor.dtype]
