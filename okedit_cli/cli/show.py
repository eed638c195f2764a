"""okedit show: what is in a bundle, from its header alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import options
from .bundles import BundleArgument, local, number, one_line, site_words, size_of
from .output import Output

EXAMPLES = """
  okedit show bundles/facts.safetensors
  okedit show hf://owner/name
  okedit show bundles/facts.safetensors --json | jq -r '.facts[].id'
"""

COLUMNS = (
    "id", "prompt", "answer", "reach", "picture sha256", "took", "answered", "left alone", "picture radius",
)  # fmt: skip
WORDS = ("prompt", "answer")
SPARE = ("picture sha256", "picture radius")


def show(bundle: BundleArgument, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Show what is in a bundle: its facts, the model they are for, how they were made.

    Of each fact: what it is true of, whether it took, how many rewordings and views were answered as asked,
    how many near questions were left alone, and within which distance a picture counts as one of the thing.

    Reads the header alone, so it is quick for a bundle of any size; `okedit verify` reads everything.
    """
    from ..bundle import read_manifest
    from ..bundle.scope_only import is_scope_only

    out = Output(json=json, quiet=quiet)
    path = local(bundle)
    manifest = read_manifest(path)
    if out.json:
        fields = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest)}
        fields |= {"facts": list(manifest.facts), "dropped": list(manifest.dropped)}
        out.json_object({"bundle": bundle, "bytes": path.stat().st_size, **fields})
        return
    base = manifest.base
    revision = f", revision {base['revision']}" if base.get("revision") else ""
    model = (
        f"{base.get('name') or '-'}{revision} ({base['architecture']}, {base['layers']} layers, "
        f"hidden size {base['hidden_size']}, {base.get('dtype') or '-'})"
    )
    if is_scope_only(base):
        model = "none: a text memory for the gateway"
    edits = f"{len(manifest)} edit{'' if len(manifest) == 1 else 's'}"
    for name, value in {
        "bundle": f"{bundle}, {size_of(path)}, format {manifest.format}, {edits}",
        "model": model,
        "method": manifest.method,
        "site": site_words(manifest.site) or "-",
        "made with": ", ".join(f"{key} {value}" for key, value in manifest.versions.items()) or "-",
        "pictures": f"{len(manifest.sources)} in the bundle" if manifest.sources else "not in the bundle",
    }.items():
        out.line(f"{name + ':':10} {one_line(value, 300)}")
    out.table(COLUMNS, [row(fact) for fact in manifest.facts], words=WORDS, spare=SPARE)
    if manifest.dropped:
        names = ", ".join(one_line(fact["id"], 40) for fact in manifest.dropped[:10])
        more = ", ..." if len(manifest.dropped) > 10 else ""
        out.line(f"left out by a merge: {len(manifest.dropped)} ({names}{more})")


def row(fact: dict[str, Any]) -> list[str]:
    """One fact of a manifest, which a stranger may have written, for the table."""
    from ..bundle.card import counts, took_words

    report = fact.get("report") or {}
    words = (one_line(fact["id"], 60), one_line(fact["prompt"]), one_line(fact["answer"]))
    pairs = (counts(report.get("positives")) or "-", counts(report.get("negatives")) or "-")
    picture = (fact.get("picture_sha256") or "none")[:12]
    # other channels have radii that say nothing about pictures
    radius = number(report.get("radius")) if report.get("channel", "picture") == "picture" else "-"
    reach = one_line(fact.get("reach") or "-", 20) if fact.get("picture_sha256") else "words"
    return [*words, reach, picture, took_words(report) or "-", *pairs, radius]
