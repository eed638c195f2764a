"""/v1/chat/completions and /v1/completions: a request in, an answer out, its place freed whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from okedit_cli.serve.answers import Shape
from okedit_cli.serve.errors import ApiError, told
from okedit_cli.serve.exchange import Exchange
from okedit_cli.serve.limits import parse_object, read_body
from okedit_cli.serve.messages import conversation
from okedit_cli.serve.prompt import Completion, Prompt
from okedit_cli.serve.requests import ChatRequest, CompletionRequest, Sampled, checked

if TYPE_CHECKING:
    from okedit_cli.serve.app import Server


def router(server: Server, described: Callable[..., dict[str, Any]]) -> APIRouter:
    """The two routes; `described(model)` tells the schema of a body."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions", **described(ChatRequest))
    async def chat(request: Request) -> Any:
        """Answer a conversation."""

        def prompt(asked: ChatRequest) -> Prompt:
            limits, read = server.limits, server.pictures.of_request()
            return conversation(asked.messages, read, most=limits.pictures, longest=limits.messages)

        return await _answered(server, request, ChatRequest, prompt)

    @routes.post("/v1/completions", **described(CompletionRequest))
    async def complete(request: Request) -> Any:
        """Go on with a text."""
        return await _answered(server, request, CompletionRequest, lambda asked: Completion(asked.text))

    return routes


async def _answered(
    server: Server, request: Request, kind: type[Sampled], prompt: Callable[[Any], Prompt]
) -> Any:
    server.keys.check(request.headers)
    began = time.perf_counter()
    with contextlib.ExitStack() as held:
        held.enter_context(server.places.take())
        exchange: Exchange | None = None
        try:
            body = await read_body(request, server.limits.body, server.limits.seconds)
            asked = checked(kind, parse_object(body))
            server.bundles.chosen(asked.model)  # an unknown one is told before a picture is read
            read = await run_in_threadpool(prompt, asked)
            exchange = Exchange(read, asked.sampling(server.max_tokens), asked.model)
            server.worker.submit(exchange.job())
            await _while_there(request, exchange, exchange.begin())
            shape = Shape(exchange, asked.model or server.bundles.model_names[-1], kind is ChatRequest,
                          asked.tells_usage)  # fmt: skip
            if asked.stream:
                stack = held.pop_all()
                stack.callback(_counted, server, request, exchange, began)
                return _Stream(exchange, stack, shape)
            text = await _while_there(request, exchange, _joined(exchange))
            _counted(server, request, exchange, began)
            return JSONResponse(shape.whole(text), headers=shape.headers())
        except Exception as error:
            found = told(error)
            server.log.line(path=request.url.path, status=found.status, error=found.code,
                            seconds=_since(began))  # fmt: skip
            raise


async def _joined(exchange: Exchange) -> str:
    return "".join([text async for text in exchange.texts()])


async def _while_there(request: Request, exchange: Exchange, work: Awaitable) -> Any:
    """What `work` gives; where the client leaves before that, its answer ends and ApiError 499 is raised."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(left())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        raise ApiError(499, "The client has left.", code="client_closed_request")
    except BaseException:
        exchange.leave()
        raise
    finally:
        for task in tasks:
            task.cancel()


class _Stream(StreamingResponse):
    """Events of one answer; when they are over, or nobody reads them any more, its place is free."""

    def __init__(self, exchange: Exchange, held: contextlib.ExitStack, shape: Shape) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **shape.headers()}
        super().__init__(shape.events(), media_type="text/event-stream", headers=headers)
        self.exchange, self.held = exchange, held

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self.held:
            try:
                await super().__call__(scope, receive, send)
            finally:
                self.exchange.leave()


def _counted(server: Server, request: Request, exchange: Exchange, began: float) -> None:
    """Count what was answered, and write it to the log."""
    hit = exchange.verdict and exchange.verdict.hit
    context = exchange.verdict and exchange.verdict.context
    server.metrics.tokens.labels("prompt").inc(exchange.prompt_tokens)
    server.metrics.tokens.labels("answer").inc(exchange.answer_tokens)
    server.metrics.decisions.labels("hit" if hit else "context" if context else "miss").inc()
    server.log.line(
        path=request.url.path, status=200, bundles=[held.name for held in exchange.bundles],
        edit=hit and hit.edit_id, bundle=hit and hit.bundle, context=context and context.edit_id,
        prompt_tokens=exchange.prompt_tokens, answer_tokens=exchange.answer_tokens,
        finish=exchange.reason or "gone", seconds=_since(began),
    )  # fmt: skip


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 4)
