"""okedit-mini, the built-in model: EfficientNet-Lite2, a trained connector, SmolLM2-135M-Instruct, assembled
once.
"""

from __future__ import annotations

from pathlib import Path

from okedit_cli.models.packages import Progress

NAME = "okedit-mini"
VERSION = "1"


def ensure(progress: Progress | None = None, *, force: bool = False) -> Path:
    """The model's folder, fetched and assembled first where it is not there yet, or with `force`. Raises
    SetupError.
    """
    from okedit_cli.models.mini.assemble import ensure

    return ensure(progress, force=force)


def is_ready() -> bool:
    """Whether the folder is there already, so that `ensure` will neither download nor build."""
    from okedit_cli.models.mini.assemble import is_ready

    return is_ready()
