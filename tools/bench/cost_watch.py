"""What a piece of work costs a model: bytes of tensors alive over it at the worst moment, and passes.

Resident memory is too coarse (allocators keep what is freed) and a processor has no counter of its own: so
every storage that an operation gives is noted, once, and taken off when it goes, except those that were alive
before. Not here: what is done.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from okedit_cli.methods import balancedit
from okedit_cli.models.load import LoadedModel
from okedit_cli.models.sites import decoder_layers, picture_tower


class Held(TorchDispatchMode):
    """Bytes of storages made within the context: `now`, and `peak`. Of autograd's backward too."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {}
        for tensor in (*loaded.model.parameters(), *loaded.model.buffers()):
            self._note(tensor, 0)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for one in tree_iter(out):
            if isinstance(one, torch.Tensor) and one.device.type != "meta":
                self._note(one, None)
        return out

    def _note(self, tensor: torch.Tensor, size: int | None) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._known:
            return
        size = storage.nbytes() if size is None else size

        def gone(_: Any) -> None:
            if self._known.pop(place, None) is not None:
                self.now -= size

        self._known[place] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)

    def forget_peak(self) -> None:
        """The peak begins anew."""
        self.peak = self.now


@contextmanager
def passes(loaded: LoadedModel) -> Iterator[Counter]:
    """Counts of passes within the context: "vision", "prompt" (through the decoder's last layer, of any
    number of rows), "one token", and "values" of those that fit them.
    """
    found, fitting = Counter(), []

    def decoder(module: Any, args: tuple, kwargs: dict) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        kind = "values" if fitting else "one token" if states.shape[1] == 1 else "prompt"
        found[kind] += 1
        found[f"{kind} rows"] += len(states)

    def vision(module: Any, args: tuple, kwargs: dict) -> None:
        found["vision"] += 1

    real = balancedit.fit_values

    def fit_values(*args: Any, **kwargs: Any) -> Any:
        fitting.append(True)
        try:
            return real(*args, **kwargs)
        finally:
            fitting.pop()

    handles = [decoder_layers(loaded.model)[-1].register_forward_pre_hook(decoder, with_kwargs=True)]
    if (tower := picture_tower(loaded.model)) is not None:
        handles.append(tower.register_forward_pre_hook(vision, with_kwargs=True))
    try:
        with mock.patch.object(balancedit, "fit_values", fit_values):
            yield found
    finally:
        for handle in handles:
            handle.remove()
