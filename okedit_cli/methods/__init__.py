"""How edits are computed: a file or folder a method, which a line in registry.py makes known by its name."""

from __future__ import annotations

from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.registry import Method, method_named, methods, settings_of

__all__ = ["Computed", "Method", "Options", "Scope", "method_named", "methods", "settings_of"]
