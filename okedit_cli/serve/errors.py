"""Errors as clients of the OpenAI API read them: a status, and JSON with one sentence.

Not here: what is wrong with a request (messages.py, limits.py) or with a bundle (okedit_cli/bundle).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import InvalidBundle, InvalidFacts, ModelMismatch, OkeditError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

LINGER = 2.0  # seconds for which the rest of a body that is too long is thrown away
INVALID = "invalid_request_error"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
          413: "request_too_large", 429: "rate_limit_exceeded", 503: "unavailable"}  # fmt: skip
_log = logging.getLogger("okedit.serve")


class ApiError(OkeditError):
    """What a request is answered with instead: `status`, one sentence, and which parameter is at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.param, self.headers = status, param, dict(headers or {})
        self.code = code or _CODES.get(status)
        self.type = _TYPES.get(status, INVALID if status < 500 else "server_error")

    def body(self) -> dict[str, Any]:
        """The JSON of the answer; the hint stands behind the sentence."""
        message = _writable(f"{self.message} {self.hint}" if self.hint else self.message)
        param = None if self.param is None else _writable(self.param)
        return {"error": {"message": message, "type": self.type, "param": param, "code": self.code}}


def bad(message: str, *, param: str | None = None, code: str | None = None, hint: str | None = None):
    """An ApiError of status 400."""
    return ApiError(400, message, param=param, code=code, hint=hint)


def check_utf8(text: str, param: str) -> None:
    """ApiError 400: a text holds half a character, which JSON can name and UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        message = f"{param} holds a lone surrogate, expected text that UTF-8 can write."
        raise bad(message, param=param) from None


def _writable(text: str) -> str:
    """A text of an error; what a request named may hold half a character."""
    return text.encode("utf-8", "backslashreplace").decode()


def told(error: Exception) -> ApiError:
    """Any error as one that a client may read; of those that are no user's fault nothing is told."""
    from starlette.requests import ClientDisconnect

    if isinstance(error, ApiError):
        return error
    if isinstance(error, (UsageError, InvalidFacts)):
        return bad(error.message, hint=error.hint)
    if isinstance(error, ModelMismatch):
        return bad(error.message, code="model_mismatch", hint=error.hint)
    if isinstance(error, InvalidBundle):
        return bad(error.message, code="invalid_bundle", hint=error.hint)
    if isinstance(error, ClientDisconnect):
        return ApiError(499, "The client has left.", code="client_closed_request")
    if isinstance(error, OkeditError):
        return ApiError(500, error.message, code="internal_error", hint=error.hint)
    return ApiError(500, "The server failed on this request; its log says where.", code="internal_error")


def respond(error: Exception) -> Any:
    """The answer that tells of an error; what nobody expected goes to the log with its traceback."""
    from fastapi.responses import JSONResponse

    class Lingering(JSONResponse):
        """Told to who is still sending: what comes is thrown away for a while, since a connection that is
        closed on unread bytes takes the answer with it.
        """

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """The answer, whole, and its end once nothing comes any more."""
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_rest(receive), LINGER)
            await send({"type": "http.response.body", "body": b""})

    found = told(error)
    if found.status >= 500 and not isinstance(error, OkeditError):
        _log.error("a request failed", exc_info=error)
    kind = Lingering if found.status == 413 else JSONResponse
    return kind(found.body(), status_code=found.status, headers=found.headers)


async def _rest(receive: Any) -> None:
    """Throw away what is left of a request's body."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


def install(app: FastAPI) -> None:
    """Let every error of an app, those of its framework too, be answered with such JSON."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    async def on_error(request: Any, error: Exception) -> Any:
        return respond(error)

    async def on_http(request: Any, error: HTTPException) -> Any:
        words = {404: f"There is nothing at {request.url.path}.",
                 405: f"{request.method} is not answered at {request.url.path}."}  # fmt: skip
        message = words.get(error.status_code, f"{error.detail}.")
        return respond(ApiError(error.status_code, message, headers=error.headers))

    async def on_invalid(request: Any, error: RequestValidationError) -> Any:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return respond(bad(f"{place or 'The request'}: {first['msg']}.", param=place or None))

    app.add_exception_handler(OkeditError, on_error)
    app.add_exception_handler(ClientDisconnect, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_error)
