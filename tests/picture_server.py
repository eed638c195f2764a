"""A server of pictures on this machine, and what else the web has: redirects, errors, no end."""

from __future__ import annotations

import contextlib
import http.server
import io
import threading

import tiny


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    tiny.picture(colour).save(out, "PNG")
    return out.getvalue()


class _Pictures(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, rest = self.path.lstrip("/").partition("/")
        self.server.asked.append(self.path)
        if kind == "to":  # /to/http://host/name
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
        elif kind in ("slow", "drips"):
            with contextlib.suppress(OSError):
                self.send_response(200)
                if kind == "drips":
                    self.send_header("Content-Length", "40000")
                self.end_headers()
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"x")
        else:
            data = {"page": b"<html>no picture</html>", "long": png() + bytes(100_000)}.get(kind, png())
            self.send_response(404 if kind == "gone" else 200)
            self.send_header("Content-Length", str(len(data) + (kind == "cut")))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving():
    """(address, the paths that were asked for)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    server.asked, server.over = [], threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
