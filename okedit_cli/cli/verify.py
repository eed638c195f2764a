"""okedit verify: is a bundle whole, and does it belong to a model?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import OkeditError
from . import options
from .bundles import BundleArgument, local, named, number
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit verify bundles/facts.safetensors
  okedit verify bundles/facts.safetensors -m okedit-mini
  okedit verify hf://owner/name -m HuggingFaceTB/SmolVLM-256M-Instruct --strict
"""

UNMOVED = 1e-3  # of the smallest radius: less is rounding


def verify(
    bundle: BundleArgument,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="Also check that it belongs to this model."),
    ] = None,
    strict: options.Strict = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read every byte of a bundle: checksums, shapes, numbers, counts.

    With -m, also compare the model with the one that the bundle was made with: other sizes are refused, other
    weights, settings or dtype are told, and refused with --strict. Reference keys are computed again: their
    drift is judged by the smallest radius. Exit code 3: not whole; 4: it does not belong to the model.
    """
    out = Output(json=json, quiet=quiet)
    path = local(bundle)
    opened = okedit_cli.Bundle.load(path, verify=True)
    _pictures(opened, path)
    found: dict[str, Any] = {
        "bundle": bundle, "facts": len(opened), "tensors": len(opened.tensors()),
        "pictures": len(opened.manifest.sources), "model": None, "fit": None, "drift": [], "warnings": [],
    }  # fmt: skip
    if model is not None:
        loaded = open_model(
            model,
            out,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        found["model"] = loaded.name
        found |= _fits(loaded, opened, path, strict)
        for warning in found["warnings"]:
            out.warn(f"{path}: {warning}")
    if out.json:
        out.json_object(found)
        return
    words = f"{found['facts']} facts, {found['tensors']} tensors, {found['pictures']} pictures"
    if model:
        fit = "the very model that it was made with" if found["fit"] == "exact" else found["fit"]
        words += f"; it belongs to {found['model']} ({'; '.join([fit, *map(_drift_words, found['drift'])])})"
    out.line(f"{bundle}: whole: {words}")


def _drift_words(drift: Any) -> str:
    if drift.distance < UNMOVED * drift.radius:
        return f"{drift.channel} keys lie where they did"
    moved, radius = number(drift.distance), number(drift.radius)
    return f"{drift.channel} keys moved by {moved}, the smallest radius is {radius}"


def _pictures(bundle: Any, path: Path) -> None:
    from ..bundle.sources import get_sources

    try:
        get_sources(bundle)
    except OkeditError as error:
        raise named(error, path) from None


def _fits(loaded: Any, bundle: Any, path: Path, strict: bool) -> dict[str, Any]:
    """Grade, drift and warnings in words; ModelMismatch when the bundle does not belong to the model."""
    from ..bundle import BundleWarning, FitWarning, check_fit
    from ..bundle.canary import measure_drift
    from ..bundle.fit import compare
    from ..models.fingerprint import fingerprint

    try:
        words = check_fit(bundle.manifest, fingerprint(loaded), strict=strict)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # what stands between a bundle and its use: settings, layers and widths, the drift of its canary
            with okedit_cli.attach(loaded, [bundle]):
                drift = measure_drift(loaded, bundle)
    except OkeditError as error:
        raise named(error, path) from None
    grade = compare(bundle.manifest.base, fingerprint(loaded)).grade
    kinds = [one for one in caught if issubclass(one.category, BundleWarning)]
    words += [str(one.message) for one in kinds if not issubclass(one.category, FitWarning)]  # told already
    return {"fit": grade, "drift": list(drift), "warnings": words}
