"""The README of an exported bundle: what is in it, for which model, how made, how to attach it. No torch."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from okedit_cli.bundle.hub import FILE, SCHEME
from okedit_cli.bundle.manifest import Manifest

MARK = "<!-- written by okedit export; exporting again replaces this file -->"
SHOWN = 500  # facts in the table; the bundle itself lists all of them
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def card(manifest: Manifest, *, place: str | None = None) -> str:
    """Markdown with the front matter of the hub; `place` is the hf:// name that it goes to."""
    base = manifest.base
    name = str(base.get("name") or "the base model")
    front = ["---", "library_name: okedit", "tags:", "- okedit", "- knowledge-editing", "- model-editing"]
    if _HUB_ID.fullmatch(name):
        front.append(f"base_model: {json.dumps(name)}")
    bundle = place or FILE
    lines = [
        *front, "---", "", MARK, "",
        f"# {len(manifest)} edit{'' if len(manifest) == 1 else 's'} for {cell(name)}", "",
        "A bundle of okedit: it changes what the model says about the "
        "pictures and questions below while it is attached, and nothing else. The weights stay as they are.",
        "", "## Facts", "", *_table(manifest), "", *_pictures(manifest), "", "## Attach it", "", "```sh",
        "pip install okedit",
        f"okedit ask --image picture.jpg -b {bundle}{_model_option(name)} --explain", "```", "", "```python",
        "import okedit_cli", "from okedit_cli.pictures import load_picture", "",
        f"loaded = okedit_cli.load_model({json.dumps(name)})",
        *_load(place),
        "with okedit_cli.attach(loaded, [bundle]):",
        '    [answer] = okedit_cli.generate(loaded, [("What is this?", load_picture("picture.jpg"))])',
        "print(answer.text)", "```", "", "## How it was made", "", "| what | value |", "|---|---|",
        *(f"| {cell(key)} | {cell(value)} |" for key, value in _made(manifest).items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _load(place: str | None) -> list[str]:
    if place is None:
        return [f'bundle = okedit_cli.Bundle.load("{FILE}")']
    repo = place.removeprefix(SCHEME)
    return [
        "from huggingface_hub import hf_hub_download", "",
        f'bundle = okedit_cli.Bundle.load(hf_hub_download("{repo}", "{FILE}"))',
    ]  # fmt: skip


def _model_option(name: str) -> str:
    """Nothing for what a shell might misread: a name from a stranger is no command line."""
    return f" -m {name}" if _HUB_ID.fullmatch(name) else ""


def _table(manifest: Manifest) -> list[str]:
    lines = [
        "| id | question | answer | picture | took | rewordings and views | near questions kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for fact in manifest.facts[:SHOWN]:
        report = fact.get("report") or {}
        took = took_words(report)
        picture = (fact.get("picture_sha256") or "none")[:12]
        values = (fact["id"], fact["prompt"], fact["answer"], picture, took,
                  counts(report.get("positives")), counts(report.get("negatives")))  # fmt: skip
        lines.append(f"| {' | '.join(map(cell, values))} |")
    if len(manifest) > SHOWN:
        lines.append(f"\n... and {len(manifest) - SHOWN} more: `okedit show {FILE}` lists them all.")
    return lines


def _pictures(manifest: Manifest) -> list[str]:
    if manifest.sources:
        return [
            f"The bundle holds the {len(manifest.sources)} pictures of its facts, so "
            f"`okedit edit --from {FILE} -m OTHER_MODEL` makes the edits for another model."
        ]
    return ["Pictures are named by the start of the sha256 of their files; they are not in the bundle."]


def _made(manifest: Manifest) -> dict[str, Any]:
    base = manifest.base
    found = {"base model": base.get("name"), "revision": base.get("revision"),
             "architecture": base.get("architecture"), "dtype": base.get("dtype"),
             "weights": str(base.get("weights") or "")[:12], "method": manifest.method,
             **{key.replace("_", " "): value for key, value in manifest.site.items()},
             **{key.replace("_", " "): value for key, value in manifest.settings.items()},
             **{f"{key} (version)": value for key, value in manifest.versions.items()},
             "bundle format": manifest.format}  # fmt: skip
    return {key: value for key, value in found.items() if value not in (None, "")}


def took_words(report: Mapping[str, Any]) -> str:
    """Whether an edit took, as its report says; nothing where that is neither: a bundle from a stranger may
    say anything.
    """
    if report.get("took") is True:
        return "greedy only" if report.get("fragile") else "yes"  # else other decodings may say otherwise
    return "no" if report.get("took") is False else ""


def counts(pair: Any) -> str:
    """3/4 for [3, 4]; nothing for what is no such pair."""
    good = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(n) is int for n in pair)
    return f"{pair[0]}/{pair[1]}" if good else ""


def cell(value: Any) -> str:
    """Any value as plain text in a Markdown table: nothing in it is markup."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = html.escape(" ".join(text.split())[:300], quote=False)
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", text)
