"""Hubs to point huggingface_hub at: one that answers, one that refuses, one that never says a word."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


def point_at(monkeypatch, address: str) -> None:
    """Let the hub's client go to `address`, with no offline mode."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@contextlib.contextmanager
def answering(monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    point_at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def refusing(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_at(monkeypatch, f"http://127.0.0.1:{port}")
    yield


@contextlib.contextmanager
def silent(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        point_at(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield
