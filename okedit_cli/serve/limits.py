"""How much a request may bring, and how many may be answered at once: 413 and 429.

Bodies are refused by what they announce before a byte of them is read, and otherwise at the first byte too
many. Not here: how long an answer or a prompt may be, which the model says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from okedit_cli.serve.errors import ApiError, bad

if TYPE_CHECKING:
    from starlette.requests import Request

RATE = 10_000  # bytes a second of a body of any length, past the seconds that every body has
RETRY_AFTER = 1  # seconds after which a place may be free


@dataclass(frozen=True)
class Limits:
    """Bytes of a request's body and of one picture, pixels of a picture, pictures of a request, requests that
    wait or are answered at once, bytes of an uploaded bundle, messages of a request with the parts of them,
    bytes and pixels of all pictures of a request, and the seconds in which a body must have come.
    """

    body: int = 32_000_000
    picture: int = 20_000_000
    pixels: int = 40_000_000
    pictures: int = 8
    places: int = 64
    bundle: int = 2_000_000_000
    messages: int = 1000
    all_bytes: int = 60_000_000
    all_pixels: int = 80_000_000
    seconds: float = 60.0


async def chunks(request: Request, most: int, what: str = "body") -> AsyncIterator[bytes]:
    """A request's body as it comes. ApiError 413: it is, or says that it is, longer than `most` bytes; 400:
    its length is no number.
    """
    announced = request.headers.get("content-length")
    if announced is not None and not announced.isdecimal():
        raise bad("The header Content-Length holds no number.")
    if announced is not None and int(announced) > most:
        raise _too_long(what, most)
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > most:
            raise _too_long(what, most)
        yield chunk


async def read_body(request: Request, most: int, seconds: float | None = None) -> bytes:
    """A request's whole body; errors as `chunks`. ApiError 408: it has not come within the seconds."""

    async def read() -> bytes:
        return b"".join([chunk async for chunk in chunks(request, most)])

    try:
        return await asyncio.wait_for(read(), seconds)
    except asyncio.TimeoutError:
        raise _too_slow(f"within {seconds:g} seconds") from None


async def in_time(stream: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """A body of any length as it comes. ApiError 408: it was waited for longer than the seconds, and one
    more for every RATE bytes that came.
    """
    clock, left = asyncio.get_running_loop().time, seconds
    while True:
        began = clock()
        try:
            chunk = await asyncio.wait_for(anext(stream), left)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise _too_slow("in time") from None
        left += len(chunk) / RATE - (clock() - began)
        yield chunk


def parse_object(body: bytes) -> dict[str, Any]:
    """A body that is one JSON object. ApiError 400: it is not."""
    try:
        found = json.loads(body, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise bad("The body is not UTF-8, expected one JSON object.") from None
    except RecursionError:
        raise bad("The body's JSON is nested too deeply.") from None
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if hasattr(error, "lineno") else ""
        why = getattr(error, "msg", None) or str(error)
        raise bad(f"The body is not JSON: {why}{where}, expected one JSON object.") from None
    if not isinstance(found, dict):
        raise bad(f"The body is a JSON {_kind(found)}, expected an object.")
    return found


class Places:
    """Requests that are answered at once, counted; to be used from one event loop.

    `with places.take():` holds one of them; ApiError 429 where all are taken.
    """

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Context: one place is held."""
        if self.taken >= self.most:
            raise ApiError(
                429,
                f"All {self.most} places of this server are taken.",
                hint="Try again in a moment.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def in_megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:g} MB"


def _too_long(what: str, most: int) -> ApiError:
    # what is still on its way is not read, so the connection cannot go on
    return ApiError(
        413, f"The {what} is larger than {in_megabytes(most)}, the most that this server takes.",
        headers={"Connection": "close"},
    )  # fmt: skip


def _too_slow(when: str) -> ApiError:
    return ApiError(408, f"The body did not come {when}.", headers={"Connection": "close"})


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
