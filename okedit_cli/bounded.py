"""A mapping that forgets: what was used longest ago goes once the whole is larger than so many bytes.

Threads may share one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, MutableMapping
from typing import Any


class Bounded(MutableMapping):
    """Values with their sizes, the one used last at the end; that one is kept however large it is."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.RLock()
        self.size = 0  # bytes of all values

    def put(self, key: Hashable, value: Any, size: int, most: int) -> None:
        """Keep a value of `size` bytes, and forget until all are at most `most` bytes."""
        with self._lock:
            self.pop(key, None)
            self._kept[key] = value, size
            self.size += size
            while self.size > most and len(self._kept) > 1:
                del self[next(iter(self._kept))]

    def __getitem__(self, key: Hashable) -> Any:
        with self._lock:
            value, _ = self._kept[key]
            self._kept.move_to_end(key)
            return value

    def __setitem__(self, key: Hashable, value: Any) -> None:
        raise TypeError("use put(), which knows how much may be kept")

    def __delitem__(self, key: Hashable) -> None:
        with self._lock:
            self.size -= self._kept.pop(key)[1]

    def __iter__(self) -> Iterator[Hashable]:
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def in_order(self) -> list[Any]:
        """All values, the one used last at the end; none counts as used by that."""
        with self._lock:
            return [value for value, _ in self._kept.values()]
