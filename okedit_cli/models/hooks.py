"""Hooks that okedit puts on a model: those of one thread, and those that add to a decoder layer's output.

Modules are shared by all threads that run a model, and so are their hooks: what okedit reads or writes in its
own forward pass, no other thread's pass meets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from okedit_cli.models.compiled import untraced
from okedit_cli.models.sites import value_input

if TYPE_CHECKING:
    import torch
    from torch import nn


def hidden_of(args: tuple, kwargs: dict) -> torch.Tensor:
    """What a decoder layer or its feed-forward part receives [B, L, d], however its model passes it."""
    return args[0] if args else kwargs["hidden_states"]


def of_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, doing nothing in forward passes of other threads than the one that calls this."""
    owner = threading.get_ident()

    @wraps(hook)
    def own(*args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs) if threading.get_ident() == owner else None

    return own


def add_to_layer(
    layer: nn.Module, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None]
) -> list[Any]:
    """Handles of hooks that put `change(x, states)` in place of what a decoder layer gives (None: as it is).

    x [B, L, d] is what its feed-forward part receives, states [B, L, d] what the layer gives. The layer's
    output, not the feed-forward part's, is changed: some families norm that once more (Gemma 2), which
    would bound the change.
    """
    own = threading.local()

    def receive(module: Any, args: tuple, kwargs: dict) -> None:
        own.received = hidden_of(args, kwargs)

    def give(module: Any, args: tuple, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        received = own.__dict__.pop("received", None)
        if received is None:  # a layer that has been stood in for
            return None
        changed = change(received.reshape(states.shape), states)  # OPT's feed-forward part sees rows as one
        if changed is None:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return [
        value_input(layer).register_forward_pre_hook(untraced(receive), with_kwargs=True),
        layer.register_forward_hook(untraced(give), prepend=True),  # before what others add
    ]
