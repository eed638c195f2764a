"""Hooks of one thread: what okedit reads or writes in its own forward pass, no other thread's pass meets.

Modules are shared by all threads that run a model, and so are their hooks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


def of_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, doing nothing in forward passes of other threads than the one that calls this."""
    owner = threading.get_ident()

    @wraps(hook)
    def own(*args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs) if threading.get_ident() == owner else None

    return own
