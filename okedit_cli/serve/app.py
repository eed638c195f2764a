"""The app of `okedit serve`: its routes put together, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from okedit_cli import __version__
from okedit_cli.serve import changes, chat, errors
from okedit_cli.serve.auth import Keys
from okedit_cli.serve.bundles import Bundles
from okedit_cli.serve.decoding import Sampling
from okedit_cli.serve.engine import Ask, answer
from okedit_cli.serve.errors import ApiError
from okedit_cli.serve.limits import Limits, Places
from okedit_cli.serve.log import Log
from okedit_cli.serve.messages import Conversation, Turn
from okedit_cli.serve.metrics import Metrics
from okedit_cli.serve.pictures import PictureReader
from okedit_cli.serve.worker import Worker

if TYPE_CHECKING:
    from pydantic import BaseModel

    from okedit_cli.facts.remote import Remote

PAGE = Path(__file__).with_name("page.html")
CLOSED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; " \
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {
    "type": "object", "required": ["message", "type", "param", "code"], "properties": {
        "message": {"type": "string"}, "type": {"type": "string"},
        "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}}  # fmt: skip


@dataclass
class Server:
    """What the routes of one server share. `bundle_dir`: below it bundles are named by path; None: none."""

    bundles: Bundles
    keys: Keys = field(default_factory=Keys)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    remote: Remote | None = None
    bundle_dir: Path | None = None
    max_tokens: int = 1024  # of an answer, whatever a request asks for

    def __post_init__(self) -> None:
        self.worker = Worker(self.bundles)
        self.places = Places(self.limits.places)
        self.pictures = PictureReader(self.limits, self.remote)
        self.metrics = Metrics()
        self.changing = asyncio.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="okedit-serve-")
        self.folder = Path(self._folder.name)

    def warm(self) -> None:
        """Read the model and the encoders before somebody waits for them; before the app is started."""
        prompt, told = Conversation((Turn("user", ("Hello",)),)), lambda *_: None
        with self.bundles.using(self.bundles.listed) as session:
            answer(self.bundles.loaded, session, [Ask(prompt, Sampling(1), told, told, told, told)])

    def close(self) -> None:
        """Answer what waits; nothing is left on the disk."""
        self.worker.stop()
        self.log.close()
        self._folder.cleanup()


def build(server: Server) -> Any:
    """The ASGI app of a server; the model's thread starts and ends with it."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        server.worker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(server.close)

    app = FastAPI(
        title="okedit", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="A model with edits, in the words of the OpenAI API.",
    )  # fmt: skip
    errors.install(app)
    app.include_router(chat.router(server, described))
    app.include_router(changes.router(server, described))
    _add_models(app, server)
    _add_rest(app, server)
    known = {"/", *app.openapi()["paths"]}
    return server.metrics.counted(app, lambda path: path if path in known else "other")


def described(body: type[BaseModel] | None = None, bundle: bool = False) -> dict[str, Any]:
    """What the OpenAPI schema tells of a route: its body and its errors."""
    statuses = [400, 401, 403, 404, 408, 413, 422, 429, 500, 503]
    told: dict[str, Any] = {
        "responses": {
            status: {"description": "an error", "content": {"application/json": {"schema": _ERROR}}}
            for status in statuses
        }
    }
    if body is not None:
        content: dict[str, Any] = {"application/json": {"schema": _inlined(body.model_json_schema())}}
        if bundle:
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        told["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return told


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without references: those of one body are few, and small."""
    named = schema.pop("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return put(named[part["$ref"].rsplit("/", 1)[1]])
            return {key: put(value) for key, value in part.items()}
        return [put(value) for value in part] if isinstance(part, list) else part

    return put(schema)


def _add_models(app: FastAPI, server: Server) -> None:
    def shown(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "okedit"}

    @app.get("/v1/models", **described())
    async def models(request: Request) -> Any:
        """The names that a request may give as its model."""
        server.keys.check(request.headers)
        return {"object": "list", "data": [shown(name) for name in server.bundles.model_names]}

    @app.get("/v1/models/{name:path}", **described())
    async def model(request: Request, name: str) -> Any:
        """One of them."""
        server.keys.check(request.headers)
        server.bundles.chosen(name)
        return shown(name)


def _add_rest(app: FastAPI, server: Server) -> None:
    page = PAGE.read_text(encoding="utf-8")

    @app.get("/health")
    async def health() -> Any:
        """Whether the server answers."""
        if not server.worker.alive:
            raise ApiError(503, "The model's thread has ended.")
        return {"status": "ok", "model": server.bundles.loaded.name, "waiting": server.worker.waiting}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        text, kind = server.metrics.text()
        return Response(text, headers={"Content-Type": kind})

    @app.get("/", include_in_schema=False)
    async def first() -> HTMLResponse:
        headers = {"Content-Security-Policy": CLOSED, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page, headers=headers)
