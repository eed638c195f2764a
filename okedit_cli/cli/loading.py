"""Opening a base model for a command, with the built-in one fetched first where it is not there yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import okedit_cli

from .options import DEFAULT_MODEL
from .output import Output


def fetcher(allowed: bool, hosts: Sequence[str] | None) -> Any:
    """What fetches pictures by URL, into okedit's own folder; None where that is not allowed."""
    from okedit_cli.facts.remote import Remote
    from okedit_cli.models.packages import okedit_home

    return Remote(okedit_home() / "pictures", tuple(hosts or ())) if allowed else None


def open_encoders(*, text_encoder: str = "", image_encoder: str = "") -> None:
    """Open encoders by hub id or folder ("" for okedit's own), to be called before the model is loaded.
    ModelError: one cannot be had.
    """
    from okedit_cli.encoders import hub

    for kind, encoder in (("text", text_encoder), ("image", image_encoder)):
        if encoder:
            hub.load_encoder(encoder, kind)


def check_method(name: str, settings: Sequence[str] = (), **options: Any) -> None:
    """UsageError: there is no such method, or it cannot have such settings or Options; needs no model."""
    from okedit_cli.methods import Options, method_named, settings_of

    Options(**options)
    settings_of(method_named(name), settings)


def open_model(
    name: str,
    out: Output,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    low_memory: bool = False,
) -> Any:
    """The LoadedModel of that name, where and how options say (None: "auto"), which is to hold as little
    beside itself as can be under `low_memory`; what takes long is said on stderr.
    """
    fetch_parts(name, out)
    start = time.perf_counter()
    loaded = okedit_cli.load_model(
        name,
        device=device or "auto",
        dtype=dtype or "auto",
        revision=revision,
        trust_remote_code=trust_remote_code,
        low_memory=low_memory,
    )
    precision = str(loaded.dtype).removeprefix("torch.")
    out.say(f"model: {loaded.name} on {loaded.device} in {precision}, {time.perf_counter() - start:.1f} s")
    return loaded


def fetch_parts(name: str, out: Output) -> None:
    """Fetch what okedit brings to a model of that name, where it is not there yet."""
    from okedit_cli.models import mini, sentences

    if name == DEFAULT_MODEL and not mini.is_ready():
        out.say(f"{DEFAULT_MODEL} is not set up yet: fetching and assembling it, once.")
        with out.progress() as progress:
            mini.ensure(progress=progress)
    if not sentences.is_ready():
        out.say("The sentence encoder is not there yet: fetching it, once.")
        with out.progress() as progress:
            sentences.ensure(progress=progress)
