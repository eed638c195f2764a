"""A bundle as rows that can be taken apart and stacked again: what merge and remove have in common."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from okedit_cli.bundle.bundle import Bundle
from okedit_cli.bundle.checks import DROPPED_SMALL
from okedit_cli.bundle.kinds import LAYER, THUMBNAILS
from okedit_cli.bundle.manifest import Manifest
from okedit_cli.bundle.overlap import Side
from okedit_cli.bundle.tensors import Pieces
from okedit_cli.edits.base import EditSet
from okedit_cli.edits.codebook import Codebook
from okedit_cli.edits.memory import Memory
from okedit_cli.scope.classifier import normalised_answer

CHANNELS = ("picture", "question")
SMALL = "thumbnail"  # small pictures, kept as the keys of channels are
SPACE = tuple(f"{channel}_{part}" for channel in CHANNELS for part in ("mean", "projection"))
SAME = 1e-3  # of a picture key's length: within it a memory's pictures are the same
VALUES = ("value_down", "value_up", "value_bias")


@dataclass
class Rows:
    """The edits of one bundle, live ones first, then those that an earlier merge dropped (without values).

    `radius` [rows] a channel; `keep`: False for what is left out. Small pictures stand among the keys, as
    SMALL.
    """

    facts: list[dict]
    keys: dict[str, torch.Tensor]
    owner: dict[str, torch.Tensor]
    radius: dict[str, torch.Tensor]
    values: dict[str, torch.Tensor]
    dropped: torch.Tensor
    keep: torch.Tensor
    _index: dict = field(default_factory=dict, repr=False)

    def live(self) -> list[int]:
        """Rows that go on as edits."""
        return (self.keep & ~self.dropped).nonzero()[:, 0].tolist()

    def side(self, mask: torch.Tensor) -> Side:
        """The rows in a mask as they are compared with others."""
        number, chosen = mask.cumsum(0) - 1, mask.nonzero()[:, 0]
        own = mask[self.owner["picture"]]
        owner = self.owner["question"]
        first = torch.full((len(self.facts),), len(owner)).scatter_reduce_(
            0, owner, torch.arange(len(owner)), "amin"
        )
        questions = torch.cat(
            [self.keys["question"], self.keys["question"].new_zeros(1, self.keys["question"].shape[1])]
        )
        return Side(
            [self.facts[row] for row in chosen.tolist()], questions[first[chosen]], self.keys["picture"][own],
            number[self.owner["picture"][own]], self.radius["picture"][mask],
            lambda i: [bytes(row.numpy()) for row in self.own_keys(SMALL, int(chosen[i]))],
        )  # fmt: skip

    def answers(self) -> list[str]:
        """Answers, normalised: two edits that say the same do not conflict."""
        return [normalised_answer(fact["answer"]) for fact in self.facts]

    def marks(self) -> list[tuple]:
        """A cheap fingerprint of each row; rows that differ in it differ in content."""
        radius = zip(*(self.radius[c].tolist() for c in CHANNELS), strict=True)
        return [
            (f["prompt"], f["answer"], f.get("picture_sha256"), *r)
            for f, r in zip(self.facts, radius, strict=True)
        ]

    def drop(self, row: int) -> None:
        """Turn an edit into a record of one, under its first id and with a hash of the content it had."""
        fact = dict(self.facts[row], content=content(self, row))
        fact["id"] = fact.pop("renamed_from", None) or fact["id"]
        self.facts[row] = fact
        self.dropped[row] = True

    def own_keys(self, channel: str, row: int) -> torch.Tensor:
        """The keys [k, r] of one row."""
        if channel not in self._index:
            owner = self.owner[channel]
            count = torch.bincount(owner, minlength=len(self.facts))
            self._index[channel] = torch.argsort(owner, stable=True), count.cumsum(0) - count, count
        order, first, count = self._index[channel]
        return self.keys[channel][order[first[row] : first[row] + count[row]]]

    def rename(self, row: int, name: str, first: str) -> None:
        """Set an id and remember the first one, where they differ."""
        fact = {key: value for key, value in self.facts[row].items() if key != "renamed_from"}
        self.facts[row] = {**fact, "id": name, **({"renamed_from": first} if name != first else {})}


def unstack(bundle: Bundle) -> Rows:
    """The rows of a bundle; its tensors are not copied where nothing was dropped before."""
    book, extras, gone = _as_codebook(bundle), bundle.extras, len(bundle.manifest.dropped)
    keys, owner, radius = {}, {}, {}
    for c in CHANNELS:
        keys[c], owner[c] = getattr(book, f"{c}_keys"), getattr(book, f"{c}_owner")
        radius[c] = getattr(book, f"{c}_radius")
        if gone:
            keys[c] = torch.cat([keys[c], extras[f"dropped_{c}_keys"]])
            owner[c] = torch.cat([owner[c], extras[f"dropped_{c}_owner"] + len(book)])
            radius[c] = torch.cat([radius[c], extras[f"dropped_{c}_radius"]])
    keys[SMALL], owner[SMALL] = book.thumbnails, book.thumbnail_owner
    if gone and (small := extras.get(DROPPED_SMALL[0])) is not None:
        keys[SMALL] = _stack_small([keys[SMALL], small])
        owner[SMALL] = torch.cat([owner[SMALL], extras[DROPPED_SMALL[1]] + len(book)])
    rows, layers = len(book) + gone, book.value_layer
    return Rows(
        facts=[*bundle.manifest.facts, *bundle.manifest.dropped], keys=keys, owner=owner, radius=radius,
        values={name: getattr(book, name) for name in VALUES} | ({LAYER: layers} if len(layers) else {}),
        dropped=torch.arange(rows) >= len(book), keep=torch.ones(rows, dtype=torch.bool),
    )  # fmt: skip


def _as_codebook(bundle: Bundle) -> Codebook:
    """The edits as rows; of a text memory with radii that hold a fact's own pictures, and no values."""
    if bundle.edits.kind != "memory":
        return bundle.codebook
    memory: Memory = bundle.edits
    count, pictures = len(memory), memory.picture_keys
    none, radius = pictures.new_zeros(count, 0), torch.full((count,), torch.inf)
    size = SAME * torch.linalg.vector_norm(pictures.float(), dim=1)
    reach = torch.zeros(count).scatter_reduce_(0, memory.picture_owner, size, "amax")
    return Codebook(
        torch.zeros(0), torch.zeros(0, pictures.shape[1]), torch.zeros(0),
        torch.zeros(0, memory.keys.shape[1]), pictures, memory.picture_owner, memory.keys,
        torch.arange(count),
        torch.where(torch.bincount(memory.picture_owner, minlength=count) > 0, reach, radius),
        radius, none[:, None], none[:, None], none,
    )  # fmt: skip


def content(rows: Rows, row: int) -> str:
    """sha256 of what an edit is: its words, picture, keys, radii and values; not its id."""
    fact = rows.facts[row]
    if rows.dropped[row] and fact.get("content"):
        return fact["content"]
    found = hashlib.sha256(repr([fact["prompt"], fact["answer"], fact.get("picture_sha256")]).encode())
    for c in CHANNELS:
        found.update(_bytes(rows.own_keys(c, row)) + b"|" + _bytes(rows.radius[c][row : row + 1]))
    if row >= len(rows.values["value_bias"]):
        return found.hexdigest()
    down, up = rows.values["value_down"][row], rows.values["value_up"][row]
    used = ((down != 0) | (up != 0)).any(1)  # another bundle may have padded the rank with zeros
    for part in (down[used], up[used], rows.values["value_bias"][row]):
        found.update(b"|" + _bytes(part))
    if LAYER in rows.values:
        found.update(f"|{int(rows.values[LAYER][row])}".encode())
    return found.hexdigest()


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.float().contiguous().numpy().tobytes()


def stack(manifest: Manifest, space: EditSet, rows: Sequence[Rows], canary: dict, lazy=False) -> Bundle:
    """One bundle of the rows that are kept, in order; `manifest` supplies all but facts and dropped, and
    `space` is an edit set of the same kind and key spaces.

    `lazy` leaves the values where they are: the bundle is good for saving, and for nothing else.
    """
    live = [(part.keep & ~part.dropped) for part in rows]
    gone = [(part.keep & part.dropped) for part in rows]
    extras: dict[str, torch.Tensor] = {}
    if isinstance(space, Memory):
        keys, owner = _keys(rows, live, "picture")
        edits = Memory(_keys(rows, live, "question")[0], keys, owner, space.confirm)
    else:
        edits = _stacked(space, rows, live, lazy)
    manifest = copy.copy(manifest)
    manifest.facts = [part.facts[row] for part in rows for row in part.live()]
    manifest.dropped, records = _records(rows, gone)
    extras.update(records)
    return Bundle(manifest, edits, canary, extras)


def keep_reference(bundle: Bundle, sources: Sequence[Bundle]) -> None:
    """Take over the reference pictures of the bundles that this one is made of, which share a space."""
    name = "reference_pictures"
    found = next((source.extras[name] for source in sources if name in source.extras), None)
    if found is not None:
        bundle.extras[name] = found


def _stacked(space: Codebook, rows: Sequence[Rows], live: Sequence[torch.Tensor], lazy: bool) -> Codebook:
    tensors = {name: getattr(space, name) for name in SPACE}
    for c in CHANNELS:
        tensors[f"{c}_keys"], tensors[f"{c}_owner"] = _keys(rows, live, c)
        tensors[f"{c}_radius"] = _stack([part.radius[c][mask] for part, mask in zip(rows, live, strict=True)])
    tensors |= dict(zip(THUMBNAILS, _keys(rows, live, SMALL), strict=True))
    chosen = [mask.nonzero()[:, 0] for mask in live]
    for name in VALUES:
        pieces = Pieces([(part.values[name], picked) for part, picked in zip(rows, chosen, strict=True)])
        tensors[name] = pieces if lazy else pieces.tensor()
    if all(LAYER in part.values for part in rows):
        tensors[LAYER] = torch.cat([part.values[LAYER][row] for part, row in zip(rows, chosen, strict=True)])
    return Codebook.from_tensors(tensors)


def _records(rows: Sequence[Rows], masks: Sequence[torch.Tensor]) -> tuple[list[dict], dict]:
    """Dropped edits as facts and scopes, ordered by content: when they were dropped says nothing."""
    parts = list(zip(rows, masks, strict=True))
    facts = [part.facts[row] for part, mask in parts for row in mask.nonzero()[:, 0].tolist()]
    if not facts:
        return [], {}
    order = sorted(range(len(facts)), key=lambda row: (facts[row].get("content") or "", facts[row]["id"]))
    place = torch.empty(len(order), dtype=torch.int64)
    place[order] = torch.arange(len(order))
    tensors = {}
    for c in CHANNELS:
        keys, owner = _keys(rows, masks, c)
        owner, by_owner = place[owner].sort(stable=True)
        tensors[f"dropped_{c}_keys"], tensors[f"dropped_{c}_owner"] = keys[by_owner], owner
        radius = _stack([part.radius[c][mask] for part, mask in parts])
        tensors[f"dropped_{c}_radius"] = radius[order]
    small, owner = _keys(rows, masks, SMALL)
    if len(small):
        owner, by_owner = place[owner].sort(stable=True)
        tensors |= dict(zip(DROPPED_SMALL, (small[by_owner], owner), strict=True))
    return [facts[row] for row in order], tensors


def _keys(rows: Sequence[Rows], masks: Sequence[torch.Tensor], c: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and owners of the rows in the masks, the owners counted anew over all parts."""
    keys, owner, before = [], [], 0
    for part, mask in zip(rows, masks, strict=True):
        number = mask.cumsum(0) - 1 + before
        own = mask[part.owner[c]]
        keys.append(part.keys[c][own])
        owner.append(number[part.owner[c][own]])
        before += int(mask.sum())
    return (_stack_small if c == SMALL else _stack)(keys), torch.cat(owner)


def _stack_small(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows of bytes [n, t] of several widths, filled up with zeros, without those that all rows end with."""
    width = max(part.shape[1] for part in parts)
    rows = torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])
    used = (rows != 0).any(0).nonzero()
    return rows[:, : int(used.max()) + 1 if len(used) else 0].contiguous()


def _stack(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate in the widest dtype: nothing is rounded."""
    dtype = parts[0].dtype
    for part in parts[1:]:
        dtype = torch.promote_types(dtype, part.dtype)
    return torch.cat([part.to(dtype) for part in parts])
