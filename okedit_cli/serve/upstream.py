"""The engine behind the gateway: requests and answers handed on byte for byte, over connections that are
kept.

What comes from the engine goes to the client as it comes, its errors and malformed events too. What does
not come is told: 502 where there is no engine or it drops the request, 504 where it stalls. Once an answer
has begun, a broken one ends for the client as it ended here: the connection is closed before the answer's
end, so that nobody takes a part for the whole. A client that goes away takes its request to the engine with
it. Not here: which requests are changed before they are sent (gateway.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from okedit_cli.errors import UsageError
from okedit_cli.serve.errors import ApiError, bad

Headers = list[tuple[bytes, bytes]]
CONNECT, KEPT = 10.0, 3.0  # seconds to connect; that an idle connection is kept: engines' servers close at 5
HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
OWN = frozenset((b"host", b"content-length", b"expect"))  # of a request: said anew
LONGEST = 65_535  # bytes of a request's path and query
# also written as %2e, between %2f or backslashes, or with parameters: servers differ in what they fold
_DOTS = re.compile(rb"(?:^|[/\\])\.\.?(?:;[^/\\]*)?(?:[/\\]|$)")
_log = logging.getLogger("okedit.gateway")


class Upstream:
    """One engine by its URL, with or without /v1 at the end; `timeout`: seconds that it may be silent.

    UsageError: it is no URL of a server.
    """

    def __init__(self, url: str, *, timeout: float = 600.0, key: str | None = None) -> None:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname or place.query or place.fragment:
            raise UsageError(
                f"--upstream {url} is no address of a server.", hint="For example http://127.0.0.1:8000/v1."
            )
        path = place.path.rstrip("/")
        self.base = httpx.URL(url).copy_with(path="/")
        self.prefix = path.removesuffix("/v1").encode("ascii", "ignore")
        self.key, self.timeout = key, timeout
        times = httpx.Timeout(timeout, connect=min(CONNECT, timeout))
        self._times = times.as_dict()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEPT)
        self._client = httpx.AsyncClient(limits=limits, timeout=times, follow_redirects=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._client.aclose()

    def request(
        self, scope: dict[str, Any], content: bytes | AsyncIterator[bytes] | None, changed: bool = False
    ) -> httpx.Request:
        """A client's request as it goes on: method, path, query and headers are kept; of a body that was
        `changed` the length is another. ApiError 400: its path is none that can be sent on.
        """
        chunked = any(name.lower() == b"transfer-encoding" for name, _ in scope["headers"])
        anew = changed or content is None or chunked  # of chunks a length is wrong
        headers = passed_on(scope["headers"], OWN if anew else OWN - {b"content-length"})
        if self.key is not None:
            headers = [(name, value) for name, value in headers if name.lower() != b"authorization"]
            headers.append((b"authorization", b"Bearer " + self.key.encode()))
        request = httpx.Request(
            scope["method"], self.base, headers=headers, content=content, extensions={"timeout": self._times}
        )
        request.url = _At(self.base, self.prefix + target(scope))
        return request

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer's head. ApiError 502: there is none; 504: it does not come in time.

        A kept connection that the engine has closed meanwhile is no failure: the request is sent once more.
        """
        for again in (True, False):
            fresh: list[bool] = []

            async def trace(event: str, info: dict, fresh: list[bool] = fresh) -> None:
                if event.startswith("connection.connect") and event.endswith("complete"):
                    fresh.append(True)

            request.extensions = {**request.extensions, "trace": trace}
            try:
                return await self._client.send(request, stream=True)
            except httpx.TimeoutException:
                raise ApiError(
                    504,
                    f"The upstream server did not answer within {self.timeout:g} seconds.",
                    code="upstream_timeout",
                ) from None
            except httpx.TransportError as error:
                whole = isinstance(request.stream, httpx.ByteStream)  # can be sent once more
                if again and whole and not fresh and _was_closed(error):
                    continue
                _log.warning("the upstream server failed: %s", str(error) or type(error).__name__)
                what = "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke off"
                raise ApiError(502, f"The upstream server {what}.", code="upstream_unavailable") from None
        raise AssertionError("sent twice, and neither answered nor failed")


def _was_closed(error: httpx.TransportError) -> bool:
    """Whether the engine had closed a connection, as far as that can be told: nothing came over it."""
    silent = isinstance(error, httpx.RemoteProtocolError) and "without sending a response" in str(error)
    return silent or isinstance(error, (httpx.WriteError, httpx.ReadError))


class _At(httpx.URL):
    """A server's URL with path and query as they are: httpx would fold dots and escape signs in them."""

    def __init__(self, base: httpx.URL, raw: bytes) -> None:
        super().__init__(base)
        self._raw = raw

    @property
    def raw_path(self) -> bytes:
        """What the request line says."""
        return self._raw


def target(scope: dict[str, Any]) -> bytes:
    """A request's path and query as the client wrote them. ApiError 400: it is no path, or one with dot
    segments, which could leave the engine's prefix, or name a path that is judged by another name.
    """
    path = scope.get("raw_path") or scope["path"].encode()
    raw = path + b"?" + scope["query_string"] if scope["query_string"] else path
    if len(raw) > LONGEST:
        raise bad(f"The path and query are {len(raw)} bytes long, expected at most {LONGEST}.")
    if not path.startswith(b"/"):
        raise bad("The request's target is no path, expected one that begins with a slash.")
    if b"#" in raw or not all(0x20 < sign < 0x7F for sign in raw):
        raise bad("The path or query holds a sign that no URL can send, expected it written as %XX.")
    if _DOTS.search(unquote_to_bytes(path)):
        raise bad('The path holds a segment "." or "..", expected one without.')
    return raw


async def relay(
    upstream: Upstream,
    request: httpx.Request,
    receive: Callable,
    send: Callable,
    *,
    further: Sequence[tuple[bytes, bytes]] = (),
    read: asyncio.Event | None = None,
) -> None:
    """Send a request and hand its answer on, with `further` headers; both end when the client goes away.
    `read`: set when the client's body has been read to its end, before which nobody else may wait for its
    messages.
    """
    work = asyncio.ensure_future(_hand_on(upstream, request, send, further))
    gone = asyncio.ensure_future(_left(receive, read))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _left(receive: Callable, read: asyncio.Event | None) -> None:
    """Ends when the client has gone."""
    if read is not None:
        await read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hand_on(
    upstream: Upstream, request: httpx.Request, send: Callable, further: Sequence[tuple[bytes, bytes]]
) -> None:
    response = await upstream.send(request)
    try:
        if not 200 <= response.status_code < 600:
            raise ApiError(
                502, f"The upstream server answers with status {response.status_code}, which HTTP has not.",
                code="upstream_unavailable",
            )  # fmt: skip
        chunked = "transfer-encoding" in response.headers
        own = passed_on(response.headers.raw, (b"content-length",) if chunked else ())
        headers = [*own, *further]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        try:
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.HTTPError as error:
            # without its end the server closes the connection, which says as much
            _log.warning("the upstream server broke off: %s", str(error) or type(error).__name__)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        with contextlib.suppress(httpx.HTTPError):
            await response.aclose()


def passed_on(headers: Iterable[tuple[bytes, bytes]], without: Iterable[bytes]) -> Headers:
    """Headers but those of one connection, those that `Connection` names, and those `without`."""
    rows = [(bytes(name), bytes(value)) for name, value in headers]
    named = {
        part.strip().lower()
        for name, value in rows
        if name.lower() == b"connection"
        for part in value.split(b",")
    }
    out = HOP | named | set(without)
    return [(name, value) for name, value in rows if name.lower() not in out]
