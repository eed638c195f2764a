"""What an edit is called outside of okedit. No torch."""

from __future__ import annotations

import re


def folder_name(edit_id: str) -> str:
    """An edit's id as the name of a folder and of an engine's model: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", edit_id).lstrip(".") or "edit"
