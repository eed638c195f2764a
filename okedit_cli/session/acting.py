"""Values in a model's forward passes: what the edit that fired does to its row, layer by layer.

Not here: which edit fires (gate.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import InvalidBundle
from okedit_cli.models.compiled import untraced
from okedit_cli.models.hooks import add_to_layer
from okedit_cli.models.sites import decoder_layers, mlp_of
from okedit_cli.session.side import check_rows

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.router import Router
    from okedit_cli.scope.verdict import Candidate
    from okedit_cli.session.call import Call

ADD, REPLACE = "add", "replace"  # what a value does to what it acts on


class Acting:
    """Hooks by which the values of a router's codebooks act, from where a call's prompts end on."""

    def __init__(self, loaded: LoadedModel, router: Router, call: Call) -> None:
        self.call, self.bundles = call, router.bundles
        self._values: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}
        layers, self.handles = decoder_layers(loaded.model), []
        books = [(bundle.codebook, bundle.manifest.site) for bundle in router.scoped]
        for layer, kind in sorted({(n, _kind(site)) for book, site in books for n in book.layers(site)}):
            if kind == REPLACE:
                part = mlp_of(layers[layer])
                self.handles.append(part.register_forward_hook(untraced(self._replace(layer))))
            else:
                self.handles += add_to_layer(layers[layer], self._add(layer))

    def _hits(self, layer: int, kind: str) -> list[tuple[int, Candidate]]:
        """Rows whose edit acts at this layer in this way."""
        if self.call.deep or self.call.starts is None:
            return []
        hits = [(row, verdict.hit) for row, verdict in enumerate(self.call.verdicts) if verdict.hit]
        return [
            (row, hit)
            for row, hit in hits
            if self._layer(hit) == layer and _kind(self.bundles[hit.number].manifest.site) == kind
        ]

    def _add(self, layer: int):
        def change(x: torch.Tensor, states: torch.Tensor) -> torch.Tensor | None:
            if not (rows := self._hits(layer, ADD)):
                return None
            check_rows(self.call.verdicts, states)
            changed = states.clone()
            for row, hit in rows:
                start, (down, up, bias) = self.call.starts[row], self._value(hit, states)
                own = x[row, start:].to(down.dtype)
                changed[row, start:] += ((own @ down.T) @ up + bias).to(states.dtype)
            return changed

        return change

    def _replace(self, layer: int):
        """GRACE's replace_last: the feed-forward output at the prompt's last token alone."""

        def hook(module: Any, args: tuple, output: Any) -> Any:
            rows = [] if self.call.last_read else self._hits(layer, REPLACE)
            if not rows:
                return None
            whole = output[0] if isinstance(output, tuple) else output
            check_rows(self.call.verdicts, whole)
            changed = whole.clone()
            for row, hit in rows:
                start = self.call.starts[row]
                changed[row, start : start + 1] = self._value(hit, whole)[2].to(whole.dtype)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    def _layer(self, hit: Candidate) -> int | None:
        """Where the value of the edit that fired acts; None where it has none of its own."""
        edits, site = self.bundles[hit.number].edits, self.bundles[hit.number].manifest.site
        return edits.layer_of(hit.row, site) if edits.kind == "codebook" else None

    def _value(self, hit: Candidate, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One edit's value, read from the bundle when it first fires."""
        key = (hit.number, hit.row)
        if key not in self._values:
            book = self.bundles[hit.number].codebook
            found = tuple(
                t[hit.row].to(like.device, torch.float32)
                for t in (book.value_down, book.value_up, book.value_bias)
            )
            if not all(bool(torch.isfinite(t).all()) for t in found):
                raise InvalidBundle(
                    f"{hit.bundle}: the value of {hit.edit_id} holds numbers that are not finite.",
                    hint="Make the bundle again with `okedit edit`; `okedit verify` reads every byte.",
                )
            self._values[key] = found
        return self._values[key]


def _kind(site: Mapping[str, Any]) -> str:
    return REPLACE if site.get("change") == REPLACE else ADD
