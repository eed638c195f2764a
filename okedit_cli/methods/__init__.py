"""How edits are computed: a file a method, all of them `compute(loaded, facts, options) -> Computed`."""

from __future__ import annotations

from okedit_cli.methods.base import METHODS, Computed, Options, method_named

__all__ = ["METHODS", "Computed", "Options", "method_named"]
