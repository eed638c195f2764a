"""What lies where a file is expected: a URL in place of a path, a Git LFS pointer in place of the content.

What reads a file asks here, so that the user is told what it is; a URL is fetched by whom the caller names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from okedit_cli.errors import InvalidFacts

Fetch = Callable[[str], Path]  # a picture's URL -> its file; InvalidFacts: why there is none

PULL = "`git lfs pull` fetches the file that it stands for."
_URL = re.compile(r"(?:https?|ftps?|file|s3|gs|hf):/|data:[a-z]+/", re.IGNORECASE)
_POINTER = b"version https://git-lfs.github.com/spec/"


def is_url(name: str) -> bool:
    """Whether a name is a URL, or what a Path leaves of one ("https:/host/name")."""
    return bool(_URL.match(name))


def fetched(url: str, fetch: Fetch | None) -> Path:
    """The file of a URL that stands where a picture is expected; InvalidFacts, to go on "image ...": nothing
    fetches it, or why it cannot be fetched.
    """
    shown = json.dumps(url if len(url) <= 100 else url[:97] + "...", ensure_ascii=False)
    if not re.match("https?://", url, re.IGNORECASE):
        raise InvalidFacts(f"is the URL {shown}, expected a file; download the picture and name the file")
    if fetch is None:
        raise InvalidFacts(
            f"is the URL {shown}, expected a file; download the picture and name the file, or have it "
            "fetched with --allow-remote-images"
        )
    try:
        return fetch(url)
    except InvalidFacts as error:
        raise InvalidFacts(f"is the URL {shown}: {error.message.rstrip('.')}") from None


def is_lfs_pointer(data: bytes) -> bool:
    """Whether the content is that of a Git LFS pointer; its first 100 bytes are enough."""
    return data.startswith(_POINTER)
