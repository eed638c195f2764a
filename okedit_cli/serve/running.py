"""Running an app on an address until it is told to stop: what is being answered is answered to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from okedit_cli.errors import OkeditError, UsageError

KEPT = 75  # seconds that an idle connection is kept
DRAIN = 30  # seconds that answers have after SIGTERM or Ctrl-C


def require() -> None:
    """UsageError where the packages of okedit[serve] are not installed."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"The package {error.name} is not installed, which serving needs.",
            hint="pip install 'okedit[serve]'",
        ) from None


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there, told apart before a model is loaded; port 0 takes any free one.

    OkeditError: the address cannot be had, and why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay off where a socket says TCP; else an answer waits 40 ms for the client
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise OkeditError(
            f"Cannot listen at {host} port {port}: {why}.", hint="Name another with --host and --port."
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(
    app: Any,
    listener: socket.socket,
    *,
    drain: float = DRAIN,
    ready: Callable[[], None] | None = None,
    date_header: bool = True,
) -> None:
    """Answer until SIGTERM or Ctrl-C; then no new connection is taken, and what is being answered has `drain`
    seconds to end. `date_header`: False where answers have one of their own.
    """
    import uvicorn

    config = uvicorn.Config(
        _told_of_stop(app), log_level="warning", access_log=False, server_header=False,
        date_header=date_header,
        timeout_graceful_shutdown=max(1, round(drain)), lifespan="on", h11_max_incomplete_event_size=65536,
        timeout_keep_alive=KEPT,  # uvicorn's 5 s are those of clients, who then ask one that is closing
    )  # fmt: skip
    server = uvicorn.Server(config)
    # uvicorn raises the signal once more when it has stopped: to have been told to stop is no failure
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        if ready is not None:
            ready()
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _told_of_stop(app: Any) -> Any:
    """An ASGI app whose requests are answered 503 where `drain` ends them before their answer has begun."""
    from okedit_cli.serve.errors import ApiError, respond

    async def answering(scope: dict, receive: Callable, send: Callable[[dict], Awaitable]) -> None:
        begun = False

        async def sending(message: dict) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            if scope["type"] != "http" or begun:
                raise
            error = ApiError(503, "This server is stopping.", hint="Ask another, or try again later.")
            await respond(error)(scope, receive, send)

    return answering
