"""Opening a base model for a command, with the built-in one fetched first where it is not there yet."""

from __future__ import annotations

import time
from typing import Any

import okedit_cli

from .options import DEFAULT_MODEL
from .output import Output


def open_model(name: str, out: Output, *, device: str, dtype: str, revision: str | None = None) -> Any:
    """The LoadedModel of that name; what takes long is said on stderr."""
    from okedit_cli.models import mini, sentences

    if name == DEFAULT_MODEL and not mini.is_ready():
        out.say(f"{DEFAULT_MODEL} is not set up yet: fetching and assembling it, once.")
        with out.progress() as progress:
            mini.ensure(progress=progress)
    if not sentences.is_ready():
        out.say("The sentence encoder is not there yet: fetching it, once.")
        with out.progress() as progress:
            sentences.ensure(progress=progress)
    start = time.perf_counter()
    loaded = okedit_cli.load_model(name, device=device, dtype=dtype, revision=revision)
    precision = str(loaded.dtype).removeprefix("torch.")
    out.say(f"model: {loaded.name} on {loaded.device} in {precision}, {time.perf_counter() - start:.1f} s")
    return loaded
