"""What a server counts, as Prometheus reads it at /metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Requests by path and status, their seconds, those being answered, decisions by what fired, tokens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "okedit_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "okedit_request_seconds", "Seconds until an answer began.", ["path"], buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.running = Gauge("okedit_requests_running", "Requests being answered.", registry=self.registry)
        self.decisions = Counter(
            "okedit_decisions", "Questions by what was decided: hit or miss.", ["verdict"],
            registry=self.registry,
        )  # fmt: skip
        self.tokens = Counter("okedit_tokens", "Tokens read and made.", ["kind"], registry=self.registry)

    def text(self) -> tuple[bytes, str]:
        """All figures, and the content type of such text."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Context: one more request is being answered."""
        self.running.inc()
        try:
            yield
        finally:
            self.running.dec()

    def counted(self, app: Any, known: Callable[[str], str]) -> Any:
        """An ASGI app whose requests are counted; `known` gives the name under which a path is."""

        async def counting(scope: dict, receive: Callable, send: Callable[[dict], Awaitable]) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began, path = time.perf_counter(), known(scope["path"])

            async def sending(message: dict) -> None:
                if message["type"] == "http.response.start":
                    self.requests.labels(path, message["status"]).inc()
                    self.seconds.labels(path).observe(time.perf_counter() - began)
                await send(message)

            with self.answering():
                await app(scope, receive, sending)

        return counting
