"""An engine that speaks the OpenAI API as far as tests need it, and its ways to fail."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from dataclasses import dataclass, field

from serving import running


@dataclass
class Engine:
    """`seen`: (method, path with query, headers, body) of each request; the rest is for single tests."""

    seen: list = field(default_factory=list)
    go_on: threading.Event = field(
        default_factory=threading.Event
    )  # lets the model "waits" say its second half
    left: threading.Event = field(
        default_factory=threading.Event
    )  # the client went while the engine answered
    url: str = ""

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = scope["query_string"]
        path = scope["raw_path"] + (b"?" + query if query else b"")
        self.seen.append((scope["method"], path.decode(), scope["headers"], body))
        try:
            model = json.loads(body).get("model")
        except (ValueError, AttributeError):
            model = None
        await getattr(self, f"_{model}", self._echo)(scope, receive, send, body)

    async def _echo(self, scope, receive, send, body) -> None:
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if scope["method"] == "POST" and not isinstance(asked, dict):
            await answer(send, 400, b'{"error": "the engine reads no such thing"}')
            return
        if asked and asked.get("stream"):
            await self._streams(scope, receive, send, body)
            return
        said = {"id": "1", "object": "chat.completion", "created": 1, "model": "echo",
                "choices": [{"index": 0, "finish_reason": "stop",
                             "message": {"role": "assistant", "content": "so it says  \u00e9"}}]}  # fmt: skip
        # spaces and escapes as no writer of JSON makes them by itself
        await answer(
            send, 200, json.dumps(said, indent=3).encode(), (b"x-engine", b"One"), (b"x-engine", b"Two")
        )

    async def _streams(self, scope, receive, send, body) -> None:
        await start(send, 200, (b"content-type", b"text/event-stream"))
        for word in ("so", " it", " says"):
            delta = {"choices": [{"index": 0, "delta": {"content": word}}]}
            await part(send, b"data: " + json.dumps(delta).encode() + b"\n\n")
        await part(send, b"data: [DONE]\n\n", more=False)

    async def _waits(self, scope, receive, send, body) -> None:
        import anyio

        await start(send, 200, (b"content-type", b"text/event-stream"))
        await part(send, b"data: first\n\n")
        await anyio.to_thread.run_sync(self.go_on.wait, 60)
        await part(send, b"data: second\n\n", more=False)

    async def _stalls(self, scope, receive, send, body) -> None:
        """Says nothing until the client goes."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def _halts(self, scope, receive, send, body) -> None:
        """Begins, and says nothing more."""
        await start(send, 200, (b"content-type", b"text/event-stream"))
        await part(send, b"data: first\n\n")
        await self._stalls(scope, receive, send, body)

    async def _breaks(self, scope, receive, send, body) -> None:
        """Begins, and closes the connection."""
        await start(send, 200, (b"content-type", b"text/event-stream"))
        await part(send, b"data: first\n\n")

    async def _fails(self, scope, receive, send, body) -> None:
        await answer(send, 500, b'{"error":  {"message": "out of memory"}}', (b"retry-after", b"7"))

    async def _babbles(self, scope, receive, send, body) -> None:
        await start(send, 200, (b"content-type", b"text/event-stream"))
        for words in (
            b"data: {not json\n\n",
            b"\xff\xfe\x00",
            b"event: odd\r\nid: \r\n\r\n",
            b"data: no end",
        ):
            await part(send, words)
        await part(send, b"", more=False)

    async def _packs(self, scope, receive, send, body) -> None:
        await answer(send, 200, gzip.compress(b'{"packed": true}', mtime=0), (b"content-encoding", b"gzip"))


async def start(send, status: int, *headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def part(send, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send, status: int, body: bytes, *headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    await start(send, status, (b"content-type", b"application/json"), length, *headers)
    await part(send, body, more=False)


@contextlib.contextmanager
def engine():
    """An Engine that runs; `url` is its address."""
    found = Engine()
    with running(found) as found.url:
        try:
            yield found
        finally:
            found.go_on.set()


@contextlib.contextmanager
def dropping():
    """The address of a server that reads a request and closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                link, _ = listener.accept()
                with link:
                    link.recv(100_000)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        listener.close()


@contextlib.contextmanager
def talking(answers):
    """(address, requests) of a server that says these bytes in turn over a connection that it keeps."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                with link:
                    while (said := link.recv(100_000)) and len(asked) < len(answers):
                        while b"\r\n\r\n" not in said or not said.rstrip().endswith(b"}"):
                            said += link.recv(100_000)
                        asked.append(said)
                        link.sendall(answers[len(asked) - 1])

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.close()
