"""Tensors that a merge leaves behind: what must be there, and how it must look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okedit_cli.bundle.strict_json import REMAKE
from okedit_cli.errors import InvalidBundle

if TYPE_CHECKING:
    from okedit_cli.bundle.bundle import Bundle

DROPPED = tuple(
    f"dropped_{channel}_{part}" for channel in ("picture", "question") for part in ("keys", "owner", "radius")
)
DROPPED_SMALL = ("dropped_thumbnails", "dropped_thumbnail_owner")  # where such a record had any


def check_records(bundle: Bundle, shown: str) -> None:
    """What a merge has left behind must be whole: a scope for every record."""
    extras, wrong = bundle.extras, None
    present = [name for name in DROPPED if name in extras]
    if len(present) < len(DROPPED) and (present or bundle.manifest.dropped):
        wrong = next(name for name in DROPPED if name not in extras)
    for channel in ("picture", "question") if wrong is None else ():
        radius = extras.get(f"dropped_{channel}_radius")
        if radius is not None and (radius.dim() != 1 or not radius.is_floating_point()):
            wrong = f"dropped_{channel}_radius"
        if bundle.manifest.dropped:
            keys, owner = extras[f"dropped_{channel}_keys"], extras[f"dropped_{channel}_owner"]
            width = getattr(bundle.codebook, f"{channel}_keys").shape[1]
            if not keys.is_floating_point() or keys.dim() != 2 or keys.shape[1] != width:
                wrong = f"dropped_{channel}_keys"
            elif not _owns(owner, keys, len(bundle.manifest.dropped)):
                wrong = f"dropped_{channel}_owner"
    if wrong is None and any(name in extras for name in DROPPED_SMALL):
        small, owner = (extras.get(name) for name in DROPPED_SMALL)
        if small is None or small.is_floating_point() or small.element_size() != 1 or small.dim() != 2:
            wrong = DROPPED_SMALL[0]
        elif not _owns(owner, small, len(bundle.manifest.dropped)):
            wrong = DROPPED_SMALL[1]
    if wrong:
        raise InvalidBundle(f"{shown}: tensor {wrong!r} is missing or not what a merge writes.", hint=REMAKE)


def _owns(owner, keys, count: int) -> bool:
    """Whether a tensor says of each row of keys which of `count` records it belongs to."""
    if owner is None or owner.is_floating_point() or owner.element_size() != 8:
        return False
    fits = tuple(owner.shape) == tuple(keys.shape[:1])
    return fits and (not len(owner) or 0 <= int(owner.min()) <= int(owner.max()) < count)
