"""Whether the Hugging Face hub is within reach, asked once before its client retries for half a minute.

Not here: what is fetched from it (load.py, encoders/hub.py, bundle/hub.py), and in which words it fails.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

SCHEME = "hf://"
WAIT = 2.0  # seconds for one small answer; HF_HUB_ETAG_TIMEOUT, where it is set, gives a slow network longer


def reachable() -> bool:
    """Whether the hub answers anything at all in time; the proxies and the endpoint that are set hold."""
    from huggingface_hub import constants, utils

    wait = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or WAIT)
    answered = threading.Event()
    over = threading.Event()

    def ask() -> None:
        try:
            utils.get_session().head(constants.ENDPOINT, timeout=wait)
            answered.set()
        except Exception:  # whatever the client's HTTP library raises: there was no answer
            pass
        over.set()

    # in a thread: looking a name up has no time limit of its own
    threading.Thread(target=ask, name="hub", daemon=True).start()
    over.wait(wait)
    return answered.is_set()


def cache_alone() -> bool:
    """Whether only what is in the local cache can be had: HF_HUB_OFFLINE is set, or the hub out of reach."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or not reachable()


def loading(name: str) -> dict[str, Any]:
    """What from_pretrained is told for a hub id or folder, so that it waits for no hub out of reach."""
    return {"local_files_only": True} if not Path(name).is_dir() and cache_alone() else {}


def in_cache(repo: str, file: str, revision: str | None = None) -> bool:
    """Whether the file of that revision lies in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repo, file, revision=revision), str)
