"""The gateway: a scope in front of any server that speaks the OpenAI API.

A question of /v1/chat/completions or /v1/completions that no fact is about goes to the engine byte for
byte, and its answer back; so does everything else. What a fact is about is told the fact, answered with it,
or sent to the model of that edit. What the gateway cannot read it does not judge: the engine says what is
wrong with it. Not here: which fact (front.py), what becomes of a request (hits.py), and sending
(upstream.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from okedit_cli import __version__
from okedit_cli.errors import OkeditError
from okedit_cli.serve import hits
from okedit_cli.serve.auth import Keys
from okedit_cli.serve.errors import respond
from okedit_cli.serve.front import Front, Hit
from okedit_cli.serve.limits import Limits, Places, in_time, parse_object, read_body
from okedit_cli.serve.messages import last_question
from okedit_cli.serve.metrics import Metrics
from okedit_cli.serve.upstream import Upstream, relay, target

JUDGED = (hits.CHAT, hits.TEXT)
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
EDIT, SCOPE = b"x-okedit-edit", b"x-okedit-scope"  # BUNDLE/EDIT; whether it answers or is followed from
_log = logging.getLogger("okedit.gateway")


@dataclass
class Settings:
    """How a gateway acts: on a hit one of hits.WAYS; `model_name` of an edit's model; who may ask; threads
    that decide (0: one a core).
    """

    on_hit: str = "context"
    model_name: str = "{edit}"
    keys: Keys = field(default_factory=Keys)
    limits: Limits = field(default_factory=lambda: Limits(places=1024))
    threads: int = 0


class Gateway:
    """An ASGI app over a scope and the engine behind it."""

    def __init__(self, front: Front, upstream: Upstream, settings: Settings | None = None) -> None:
        self.front, self.upstream, self.settings = front, upstream, settings or Settings()
        self.places = Places(self.settings.limits.places)
        self.metrics = Metrics()
        self.hits = Counter(
            "okedit_gateway_hits", "Requests that a fact is about, by what became of them.", ["way"],
            registry=self.metrics.registry,
        )  # fmt: skip
        self.deciding = Histogram(
            "okedit_gateway_decision_seconds", "Seconds of a decision, waiting for a thread too.",
            buckets=SECONDS, registry=self.metrics.registry,
        )  # fmt: skip
        count = self.settings.threads or _cores()
        self._pool, self._threads, self._busy = ThreadPoolExecutor(count, "decide"), count, 0
        self._counted = self.metrics.counted(self._http, _known)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer one request, or start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._counted(scope, receive, send)
        else:  # a websocket, which the OpenAI API's chat has none of
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Callable, send: Callable) -> None:
        while True:
            told = (await receive())["type"].removeprefix("lifespan.")
            if told == "shutdown":
                await self.upstream.close()
                self._pool.shutdown(wait=False, cancel_futures=True)
            await send({"type": f"lifespan.{told}.complete"})
            if told == "shutdown":
                return

    async def _http(self, scope: dict, receive: Callable, send: Callable) -> None:
        begun = False

        async def sending(message: dict) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._route(scope, receive, sending)
        except ClientDisconnect:
            return
        except Exception as error:
            if begun:
                raise
            await respond(error)(scope, receive, send)

    async def _route(self, scope: dict, receive: Callable, send: Callable) -> None:
        path, method = scope["path"], scope["method"]
        if path == "/health" and method in ("GET", "HEAD"):
            state = {"status": "ok", "edits": len(self.front), "version": __version__}
            await JSONResponse(state)(scope, receive, send)
            return
        if path == "/metrics" and method in ("GET", "HEAD"):
            content, kind = self.metrics.text()
            await Response(content, headers={"content-type": kind})(scope, receive, send)
            return
        self.settings.keys.check(Headers(scope=scope))
        target(scope)
        with self.places.take():
            plain = _plain(path)
            if method.upper() == "POST" and plain in JUDGED:  # it is sent on in capitals
                await self._judged(plain, scope, receive, send)
            else:
                await self._passed(scope, receive, send)

    async def _passed(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Hand a request on without looking into it, its body as it comes."""
        names = {name.lower(): value for name, value in scope["headers"]}
        if b"transfer-encoding" not in names and names.get(b"content-length", b"0") == b"0":
            request = self.upstream.request(scope, b"" if b"content-length" in names else None)
            await relay(self.upstream, request, receive, send)
            return
        read = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            async for chunk in in_time(Request(scope, receive).stream(), self.settings.limits.seconds):
                yield chunk
            read.set()

        await relay(self.upstream, self.upstream.request(scope, body()), receive, send, read=read)

    async def _judged(self, path: str, scope: dict, receive: Callable, send: Callable) -> None:
        """A question at a path of JUDGED: decide, and act."""
        limits = self.settings.limits
        content = await read_body(Request(scope, receive), limits.body, limits.seconds)
        body, asked = _question(path, content)
        hit = await self._decided(*asked) if asked else None
        changed = None if hit is None else self._changed(path, body, hit)
        if hit is None or changed is None:
            await relay(self.upstream, self.upstream.request(scope, content), receive, send)
            return
        scoped = b"answers" if hit.answers else b"follows"
        named = [(EDIT, _header(f"{hit.bundle}/{hit.edit_id}")), (SCOPE, scoped)]
        way = self._way(body, hit)
        self.hits.labels(way).inc()
        if way == "answer":
            headers = {name.decode(): value.decode() for name, value in named}
            if body.get("stream"):
                answer = StreamingResponse(
                    hits.events(path, body, hit), media_type="text/event-stream", headers=headers
                )
            else:
                answer = Response(
                    hits.answered(path, body, hit), media_type="application/json", headers=headers
                )
            await answer(scope, receive, send)
            return
        # without what servers fold: one that is sent elsewhere for it would ask the engine by itself
        folded = {**scope, "path": path, "raw_path": path.encode()}
        request = self.upstream.request(folded, changed, changed=True)
        await relay(self.upstream, request, receive, send, further=named)

    def _changed(self, path: str, body: dict[str, Any], hit: Hit) -> bytes | None:
        """The request as the engine is to be asked it; None: it cannot be written again, as with a number
        that JSON has no word for, or nesting that is too deep, and goes on as it is.
        """
        try:
            if self._way(body, hit) == "model":
                return hits.renamed(body, self.settings.model_name, hit)
            return hits.told(path, body, hit)
        except (ValueError, RecursionError) as error:
            _log.warning("a request that a fact is about is handed on as it is: %s", error)
            return None

    def _way(self, body: dict[str, Any], hit: Hit) -> str:
        """What becomes of a request: what only follows from a fact, or wants a form, is told the fact."""
        way = self.settings.on_hit
        if not hit.answers or (way == "answer" and not hits.can_answer(body)):
            return "context"
        return way

    async def _decided(self, question: str, urls: list[str]) -> Hit | None:
        """The decision, made in a thread; one that fails is a miss, so that the engine goes on answering."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._busy += 1
        try:
            hit = await loop.run_in_executor(self._pool, self._decide, question, urls)
        except OkeditError as error:
            _log.error("a request is not judged: %s", error.message)
            hit = None
        except Exception as error:
            _log.error("a request is not judged", exc_info=error)
            hit = None
        finally:
            self._busy -= 1
        self.deciding.observe(loop.time() - began)
        self.metrics.decisions.labels("miss" if hit is None else "hit").inc()
        return hit

    def _decide(self, question: str, urls: list[str]) -> Hit | None:
        """In a thread of the pool: with all cores where nobody else asks, else with a share of them."""
        import torch

        torch.set_num_threads(max(1, self._threads // max(1, self._busy)))
        return self.front.decide(question, urls)


def _cores() -> int:
    """The cores that this process may use."""
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own else os.cpu_count() or 1


def _question(path: str, content: bytes) -> tuple[dict[str, Any], tuple[str, list[str]] | None]:
    """A request's JSON, and its last question with the URLs of its pictures; None: there is none to judge."""
    try:
        body = parse_object(content)
    except OkeditError:  # the engine says what is wrong
        return {}, None
    if path == hits.CHAT:
        messages = body.get("messages")
        return body, last_question(messages) if hits.is_chat(messages) else None
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        [prompt] = prompt
    return body, (prompt, []) if isinstance(prompt, str) and prompt.strip() else None


def _plain(path: str) -> str:
    """A path as servers read it that fold slashes: one for several, and none at the end."""
    return re.sub("/{2,}", "/", path).rstrip("/")


def _known(path: str) -> str:
    """The path under which a request is counted; what clients make up is one."""
    return path if path in (*JUDGED, "/v1/models", "/health", "/metrics") else "other"


def _header(text: str) -> bytes:
    """An edit's id in a header: whatever is no plain sign as %XX."""
    return quote(text, safe="!#$&'()*+,/:;=?@[]~ ").encode()


__all__ = ["Gateway", "Settings"]
