"""Which format a file is in, by its name and the fields of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from okedit_cli.errors import InvalidFacts

FORMATS = (
    "facts", "mmedit", "vlkeb", "mmke", "comprehendedit", "okedit", "zsre", "counterfact",
    "counterfact-original", "mquake", "rippleedits", "knowedit", "cknowedit",
)  # fmt: skip
_YAML = (".yaml", ".yml")

# Fields that a row must have, most telling first. MMEdit and VLKEB share theirs.
_FIELDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("mquake", frozenset({"requested_rewrite", "new_answer"})),
    ("counterfact-original", frozenset({"requested_rewrite"})),
    ("rippleedits", frozenset({"edit", "example_type"})),
    ("okedit", frozenset({"counterfact_answer"})),
    ("mmke", frozenset({"src", "alt", "image", "knowledge_type"})),
    ("comprehendedit", frozenset({"question", "answer", "multimodal_locality_image"})),
    ("vlkeb", frozenset({"src", "alt", "image", "port_new"})),
    ("mmedit", frozenset({"src", "alt", "image"})),
    ("zsre", frozenset({"src", "alt"})),
    ("cknowedit", frozenset({"prompt", "target_old", "target_new"})),
    ("knowedit", frozenset({"target_new", "locality"})),
    ("knowedit", frozenset({"labels", "concept"})),
    ("counterfact", frozenset({"prompt", "target_new", "rephrase_prompt"})),
    ("knowedit", frozenset({"prompt", "target_new"})),
)

# Formats that are known and not read: a field that tells them, and why not.
_UNREAD: tuple[tuple[str, str, str], ...] = tuple(
    ("MC-MKE", f"{part}_edit_input_idx", "it keeps an edit's questions in other files, by number")
    for part in ("ie", "iro", "sro")
) + (("DocMEdit", "normalized_inputs", "its edits rewrite whole documents"),)


def is_fact_file(path: Path) -> bool:
    """By its name: fact files are YAML, and "-" is one on standard input."""
    return str(path) == "-" or path.suffix.lower() in _YAML


def detect(path: Path, row: Any) -> str:
    """The format of a row. InvalidFacts names the fields that were found when none fits."""
    if isinstance(row, Mapping):
        for name, fields in _FIELDS:
            if fields <= row.keys():
                # Freebase folders are VLKEB's alone; pictures of MMEdit lie below a split of COCO
                return "vlkeb" if name == "mmedit" and str(row["image"]).startswith("m.") else name
        for name, field, why in _UNREAD:
            if field in row:
                raise InvalidFacts(
                    f"{path} is in the format of {name}, which okedit does not read: {why}.",
                    hint=f"Formats that it reads: {', '.join(FORMATS)}.",
                )
        found = ", ".join(sorted(map(str, row))[:12]) or "none"
        reason = f"its first row has the fields {found}"
    else:
        reason = "its first row is no object"
    raise InvalidFacts(
        f"{path} is in no format that okedit knows: {reason}.",
        hint=f"Name the format with --format: {', '.join(FORMATS)}.",
    )
