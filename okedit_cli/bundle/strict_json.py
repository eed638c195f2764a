"""JSON from strangers: within limits, without duplicate keys, NaN or lone surrogates. No torch."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from okedit_cli.errors import InvalidBundle

MAX_NODES = 5_000_000  # commas and brackets in one text: bounds what parsing may allocate
MAX_DEPTH = 16
REMAKE = "Copy the file again from where it came, or make it anew with `okedit edit`."

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def parse_json(text: str | bytes, shown: str, what: str) -> Any:
    """One value; InvalidBundle says what is wrong with the text."""
    return parse_all([text], shown, what)[0]


def parse_all(texts: Sequence[str | bytes], shown: str, what: str) -> list[Any]:
    """The value of each text; the limit of values holds for each of them."""
    with _in_words(shown, what), _no_collection():
        return [_parse(text) for text in texts]


def _parse(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if len(text) > MAX_NODES and sum(text.count(mark) for mark in (",", "[", "{")) > MAX_NODES:
        raise ValueError(f"more than {MAX_NODES:,} values")
    value = _DECODER.decode(text)
    _check_depth(value)
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


@contextmanager
def _in_words(shown: str, what: str) -> Iterator[None]:
    def fail(reason: object) -> InvalidBundle:
        return InvalidBundle(f"{shown}: the {what} is not valid JSON of okedit ({reason}).", hint=REMAKE)

    try:
        yield
    except RecursionError:
        raise fail(f"nested deeper than {MAX_DEPTH}") from None
    except UnicodeError:
        raise fail("text that is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise fail(f"{error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise fail(error) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Scanning 100,000 young dicts again and again would more than double the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if type(parent) in (dict, list)
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in (dict, list)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH}")
