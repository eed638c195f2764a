"""Makes `transformers` know okedit-mini's picture tower, without importing transformers before the user does.

`install()` costs nothing: it puts a finder in front of the three transformers modules that matter, and
registers the tower when the last of those under way has finished. transformers imports configuration_auto
from inside modeling_utils, so registering at the first of them would meet half-made modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from contextlib import suppress

_WATCHED = frozenset(
    f"transformers.{name}"
    for name in ("modeling_utils", "models.auto.configuration_auto", "models.auto.modeling_auto")
)


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the ordinary finders find the watched modules, and learns when each begins and ends."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.searching = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in _WATCHED or self.searching:
            return None
        self.searching = True  # the search below comes through here again
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.searching = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            self.running.add(fullname)
            try:
                execute(module)
            finally:
                self.running.discard(fullname)
            if not self.running:
                _register()

        # On the instance: the loader keeps its type, which inspect.getsource and transformers' docstrings
        # rely on.
        spec.loader.exec_module = exec_module
        return spec


def install() -> None:
    """Register the tower as soon as transformers' auto classes are there: now, or when they are first
    imported.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if any(name in sys.modules for name in _WATCHED):
        _register()


def _register() -> None:
    # A transformers without torch can still read tokenizers; load_model says plainly what is missing.
    with suppress(ImportError):
        from okedit_cli.models.mini.tower import register

        register()
