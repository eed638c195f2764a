"""What forgets: a mapping of at most so many bytes, and functions that remember short texts.

What was used longest ago goes first. Threads may share either.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any

LONGEST = 2_000  # signs of the texts that a function remembers


def remembering(most: int, longest: int = LONGEST) -> Callable[[Callable], Callable]:
    """A decorator: a function of texts remembers what it gave for the last `most` arguments of at most
    `longest` signs. Longer ones would fill the memory of a server that strangers ask.
    """

    def decorate(function: Callable) -> Callable:
        known = functools.lru_cache(maxsize=most)(function)

        @functools.wraps(function)
        def remembered(*args: Any) -> Any:
            short = sum(len(one) for one in args if isinstance(one, str)) <= longest
            return known(*args) if short else function(*args)

        return remembered

    return decorate


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
