"""Bundles that hold a scope and no values: what `okedit export --to memory` writes. No torch.

They belong to no base model, so none takes them on; the gateway asks them which fact a request is about.
"""

from __future__ import annotations

from typing import Any

from okedit_cli.errors import ModelMismatch

METHOD = "memory"
ANY = "any"  # in the place of an architecture
BASE: dict[str, Any] = {"architecture": ANY, "hidden_size": 0, "layers": 0}


def is_scope_only(base: dict[str, Any]) -> bool:
    """Whether the base that a manifest names says that there is none."""
    return base.get("architecture") == ANY


def refuse_attaching(base: dict[str, Any]) -> None:
    """ModelMismatch for a bundle without values."""
    if is_scope_only(base):
        raise ModelMismatch(
            "The bundle is a text memory for the gateway and holds no values for a model.",
            hint="`okedit gateway -b BUNDLE` reads it; attach the bundle that it was exported from.",
        )
