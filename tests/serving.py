"""A server of an app in this process, on a loopback port of its own."""

from __future__ import annotations

import contextlib
import threading
import time


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
