"""Bundles on a model: hooks that decide once a prompt and change the answer's tokens of the rows that are hit.

The scope is decided when the prompt is read, for every row from its own question and picture, and holds until the next
prompt. Rows outside every scope are not touched: not one operation is done on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bundle import Bundle, check_fit
from okedit_cli.edits.codebook import Match
from okedit_cli.errors import ModelMismatch
from okedit_cli.models.features import hidden_of, pooled_picture, question_feature
from okedit_cli.models.encode import question_token_ids
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.sites import decoder_layers, image_token_id, mlp_of

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class Nearest:
    """The edit that fired or came nearest, with its distances and radii."""

    edit_id: str
    bundle: int
    row: int
    match: Match

    @property
    def picture_distance(self) -> float:
        """Distance in the picture channel (inf: no picture, or the edit has none)."""
        return self.match.picture_distance

    @property
    def picture_radius(self) -> float:
        """Radius in the picture channel (inf: open)."""
        return self.match.picture_radius

    @property
    def question_distance(self) -> float:
        """Distance in the question channel."""
        return self.match.question_distance

    @property
    def question_radius(self) -> float:
        """Radius in the question channel."""
        return self.match.question_radius


@dataclass(frozen=True)
class Decision:
    """What was decided for one prompt: the edit that fired, and the nearest in any case."""

    hit: Nearest | None
    nearest: Nearest | None


class Attachment:
    """Bundles attached to a model; a context manager, undone by `detach()`.

    `decisions` holds one Decision a row of the last prompt batch.
    """

    def __init__(self, loaded: LoadedModel, bundles: Sequence[Bundle], strictness: float = 0.5):
        self.loaded, self.bundles, self.strictness = loaded, list(bundles), strictness
        self.decisions: list[Decision] = []
        self._ids: torch.Tensor | None = None
        self._mask: torch.Tensor | None = None
        self._starts: torch.Tensor | None = None  # first changed position of each row in this forward pass
        self._deciding = self._deep = False
        self._values: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}
        layers = decoder_layers(loaded.model)
        self._handles = [
            loaded.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            layers[0].register_forward_pre_hook(self._read, with_kwargs=True),
        ]
        for layer in sorted({bundle.manifest.site["value_layer"] for bundle in self.bundles}):
            self._handles.append(mlp_of(layers[layer]).register_forward_hook(self._change(layer)))

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Take every hook away; the model is what it was. May be called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self.loaded.cache.get("attachment") is self:
            del self.loaded.cache["attachment"]

    def _begin(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """A forward pass begins: with an empty cache it reads a new prompt."""
        ids = args[0] if args else kwargs.get("input_ids")
        cache = kwargs.get("past_key_values")
        fresh = cache is None or cache.get_seq_length() == 0
        if not fresh:
            self._ids, self._deciding = None, False
            if self.decisions:
                self._starts = torch.zeros(len(self.decisions), dtype=torch.long)
            return
        self._deciding, self.decisions = True, []
        self._ids = ids
        if ids is not None:
            mask = kwargs.get("attention_mask")
            self._mask = torch.ones_like(ids) if mask is None or mask.ndim != 2 else mask

    def _read(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """The decoder's input is there: decide every row."""
        if self._deep or not self._deciding:
            return
        self._deciding, self._deep = False, True
        try:
            if self._ids is not None:
                self._decide(hidden_of(args, kwargs).detach())
        finally:
            self._deep = False

    @torch.no_grad()
    def _decide(self, states: torch.Tensor) -> None:
        placeholder = image_token_id(self.loaded.model)
        starts = []
        for ids, mask, row in zip(self._ids, self._mask, states, strict=True):
            question = question_token_ids(self.loaded, ids, mask)
            # pads may carry any id, so only what attention sees is looked at
            picture = pooled_picture(row[mask.bool()], ids[mask.bool()], placeholder)
            self.decisions.append(self._match(question, picture))
            starts.append(int(mask.nonzero()[-1]))
        self._starts = torch.tensor(starts)

    def _match(self, question: Sequence[int], picture: torch.Tensor | None) -> Decision:
        best: Nearest | None = None
        for number, bundle in enumerate(self.bundles):
            layer = bundle.manifest.site["key_layer"]
            match = bundle.codebook.match(picture, question_feature(self.loaded, question, layer), self.strictness)
            if match is not None and (best is None or match.reach < best.match.reach):
                best = Nearest(bundle.manifest.facts[match.edit]["id"], number, match.edit, match)
        return Decision(best if best is not None and best.match.fires else None, best)

    def _change(self, layer: int):
        def hook(module: Any, args: tuple, output: torch.Tensor) -> torch.Tensor | None:
            if self._deep or self._starts is None:
                return None
            rows = [i for i, d in enumerate(self.decisions)
                    if d.hit and self.bundles[d.hit.bundle].manifest.site["value_layer"] == layer]
            if not rows:
                return None
            whole = output[0] if isinstance(output, tuple) else output
            if len(whole) != len(self.decisions):
                raise ModelMismatch("The batch changed its size after the prompt was read, so edits cannot be told apart.",
                                    hint="Generate without beam search while bundles are attached.")
            changed = whole.clone()
            for i in rows:
                start = int(self._starts[i])
                down, up, bias = self._value(self.decisions[i].hit, whole)
                x = args[0][i, start:].to(down.dtype)
                changed[i, start:] += ((x @ down.T) @ up + bias).to(whole.dtype)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    def _value(self, hit: Nearest, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One edit's value, read from the bundle when it first fires."""
        key = (hit.bundle, hit.row)
        if key not in self._values:
            book = self.bundles[hit.bundle].codebook
            self._values[key] = tuple(t[hit.row].to(like.device, torch.float32)
                                      for t in (book.value_down, book.value_up, book.value_bias))
        return self._values[key]


def attach(loaded: LoadedModel, bundles: Sequence[Bundle], *, strictness: float = 0.5) -> Attachment:
    """Attach bundles, in place of those attached before. ModelMismatch when one does not belong to the model."""
    bundles = list(bundles)
    found = fingerprint(loaded)
    for bundle in bundles:
        check_fit(bundle.manifest, found)
    before = loaded.cache.get("attachment")
    if before is not None:
        before.detach()
    loaded.cache["attachment"] = attachment = Attachment(loaded, bundles, strictness)
    return attachment
