"""okedit: change what a vision-language model says about chosen pictures, without touching its weights.

The Python API, loaded at first use so that `import okedit_cli` needs neither torch nor transformers:

    loaded = okedit_cli.load_model("okedit-mini")
    facts = okedit_cli.load_facts("facts.yaml").facts
    result = okedit_cli.fit(loaded, facts)
    with okedit_cli.attach(loaded, [result.bundle]):
        print(okedit_cli.generate(loaded, [("What is this cat's name?", picture)])[0].text)

or on a model that is loaded already:

    with okedit_cli.EditedModel(model, processor, ["facts.safetensors"]):
        ids = model.generate(**inputs)
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from okedit_cli.models.mini import registration

__version__ = "0.1.0"

# public name -> module that has it
_API = {
    "load_model": "okedit_cli.models.load",
    "wrap": "okedit_cli.models.wrap",
    "EditedModel": "okedit_cli.session",
    "load_facts": "okedit_cli.facts",
    "fit": "okedit_cli.fitting",
    "attach": "okedit_cli.session",
    "generate": "okedit_cli.generate",
    "evaluate": "okedit_cli.evaluate",
    "Bundle": "okedit_cli.bundle",
}

__all__ = [*_API]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_API[name]), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])


class _Package(types.ModuleType):
    """The package: its function `attach` stays when its module `attach` is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _API and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

# costs nothing now: when transformers is imported, it learns the built-in model's picture tower
registration.install()
