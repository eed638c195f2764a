"""What lies where a file is expected: a URL in place of a path, a Git LFS pointer in place of the content.

Nothing is fetched here; what reads a file asks, so that the user is told what it is.
"""

from __future__ import annotations

import re

PULL = "`git lfs pull` fetches the file that it stands for."
_URL = re.compile(r"(?:https?|ftps?|file|s3|gs|hf):/|data:[a-z]+/", re.IGNORECASE)
_POINTER = b"version https://git-lfs.github.com/spec/"


def is_url(name: str) -> bool:
    """Whether a name is a URL, or what a Path leaves of one ("https:/host/name")."""
    return bool(_URL.match(name))


def is_lfs_pointer(data: bytes) -> bool:
    """Whether the content is that of a Git LFS pointer; its first 100 bytes are enough."""
    return data.startswith(_POINTER)
