"""torch.compile beside hooks: what was compiled before hooks came or went would not see it.

A compiled model is forgotten whenever hooks of a session are put on or taken off, and compiled again with the
next pass; hooks themselves are never traced, and passes of okedit's own are run as they stand. Not here:
compiling anything.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Hook = TypeVar("Hook", bound=Callable[..., Any])

_lock, _depth, _stance = threading.Lock(), 0, []


def untraced(hook: Hook) -> Hook:
    """The hook as it stands in a compiled model: called, never compiled, since what it does changes."""
    import torch

    return torch.compiler.disable(hook)


def forget_compiled() -> None:
    """Forget what torch.compile has made, in the whole process: it was made of other hooks."""
    if (dynamo := sys.modules.get("torch._dynamo")) is not None:
        dynamo.reset()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Context: what was compiled runs as it stands, since hooks come and go within. Where several threads are
    in it, until the last one leaves: other models are slower meanwhile, and say the same.
    """
    global _depth
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        yield
        return
    import torch

    with _lock:
        _depth += 1
        if _depth == 1:
            _stance.append(torch.compiler.set_stance("force_eager"))
            _stance[0].__enter__()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _stance.pop().__exit__(None, None, None)
