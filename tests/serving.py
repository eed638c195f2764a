"""Servers in this process, each on a loopback port of its own, and what tests ask of them."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import threading
import time
from dataclasses import replace

import fitted
import httpx

ADMIN = {"Authorization": "Bearer admin"}


@contextlib.contextmanager
def running(app):
    """The server's address."""
    import uvicorn

    from okedit_cli.serve.running import address, bound

    listener = bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def linked(address: str, timeout: float = 60) -> socket.socket:
    """A connection to a server by its address, for what no client would send."""
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout)


class Client:
    """What tests ask of one server."""

    def __init__(self, url: str, server, case) -> None:
        self.url, self.server, self.case = url, server, case
        self.base = server.bundles.loaded.name
        self.http = httpx.Client(base_url=url, timeout=60)

    def chat(self, *messages, headers=None, **fields) -> httpx.Response:
        """A chat; a message is a text, (text, picture), or a whole one."""
        body = {"messages": [message(one) for one in messages], "max_tokens": 8, **fields}
        return self.http.post("/v1/chat/completions", json=body, headers=headers)

    def text(self, *messages, **fields) -> str:
        found = self.chat(*messages, **fields)
        assert found.status_code == 200, found.text
        return found.json()["choices"][0]["message"]["content"]

    def together(self, asked: list) -> list[httpx.Response]:
        """Chats, each (message, fields), all sent at once."""
        out: list = [None] * len(asked)
        gate = threading.Barrier(len(asked))

        def ask(number: int, one, fields) -> None:
            gate.wait()
            out[number] = httpx.post(
                f"{self.url}/v1/chat/completions",
                json={"messages": [message(one)], "max_tokens": 8, **fields},
                timeout=60,
            )

        threads = [threading.Thread(target=ask, args=(i, *one)) for i, one in enumerate(asked)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return out


def message(one) -> dict:
    if isinstance(one, dict):
        return one
    text, picture = one if isinstance(one, tuple) else (one, None)
    if picture is None:
        return {"role": "user", "content": text}
    parts = [{"type": "image_url", "image_url": {"url": data_url(picture)}}, {"type": "text", "text": text}]
    return {"role": "user", "content": parts}


def data_url(picture) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


@contextlib.contextmanager
def serving_model(family: str, *bundles, **settings):
    """A Client of a server of the family's tiny model; bundles are (name, bundle)."""
    from okedit_cli.serve.app import Server, build
    from okedit_cli.serve.auth import Keys
    from okedit_cli.serve.bundles import Bundles

    case = fitted.fitted(family)
    with fitted.world():
        server = Server(Bundles(fitted.load(family)), **{"keys": Keys((), "admin"), **settings})
        for name, bundle in bundles:
            server.bundles.put(name, replace(bundle))
        with running(build(server)) as url:
            yield Client(url, server, case)
