"""The cache of keys and values, by whichever name the installed transformers has for it.

Up to 5.23 forward passes take and give it as `past_key_values`, from 5.24 on as `cache`. Asked for under the
other name nothing is found, and an attached bundle would take every token for a new prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

NAMES = ("cache", "past_key_values")


def cache_in(given: Mapping[str, Any]) -> Any:
    """The cache among a forward pass's bound arguments, those of its **kwargs too; None without one."""
    named = {**given.get("kwargs", {}), **given}
    return next((named[name] for name in NAMES if named.get(name) is not None), None)


def cache_of(output: Any) -> Any:
    """The cache that a forward pass gave."""
    output = getattr(output, "language_model_outputs", output)  # BLIP-2's keeps it there
    return output.cache if hasattr(output, "cache") else output.past_key_values


def cache_if_any(output: Any) -> Any:
    """The cache that a forward pass gave; None where it gave none."""
    try:
        return cache_of(output)
    except AttributeError:  # a tuple, or a model that keeps none
        return None


def taking(module: Any, cache: Any) -> dict[str, Any]:
    """Arguments of a module's forward pass that goes on from a cache, and keeps one."""
    takes_cache = NAMES[0] in inspect.signature(module.forward).parameters
    return {NAMES[0] if takes_cache else NAMES[1]: cache, "use_cache": True}
