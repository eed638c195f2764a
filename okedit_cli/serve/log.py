"""A line of JSON for each request that was asked of a model: which edit answered, how much, how long.

Neither questions nor answers are written. Threads may share one.
"""

from __future__ import annotations

import datetime
import json
import logging
import threading
from pathlib import Path
from typing import Any

from okedit_cli.errors import OkeditError

_log = logging.getLogger("okedit.serve")


class Log:
    """Lines at the end of a file; None: nowhere. OkeditError: it cannot be written."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock, self._file = threading.Lock(), None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise OkeditError(f"--log {path} cannot be written: {error.strerror}.") from None

    def line(self, **fields: Any) -> None:
        """One line, with the time before the fields."""
        if self._file is None:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        text = json.dumps({"time": now, **fields}, ensure_ascii=False)
        with self._lock:
            try:
                self._file.write(text + "\n")
                self._file.flush()
            except OSError as error:  # a full disk is no reason not to answer
                _log.error("the log cannot be written: %s", error.strerror)

    def close(self) -> None:
        """No line comes any more."""
        if self._file is not None:
            self._file.close()
