"""Answers in the shapes of the OpenAI API, whole and as events; the field `okedit` tells what was decided."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from okedit_cli.scope.explain import verdict_json, verdict_words
from okedit_cli.serve.errors import told
from okedit_cli.serve.exchange import Exchange

HEADER = "x-okedit-edit"
ALONE = "the base model answered by itself"
CANDIDATES = 5  # that are told of a verdict


@dataclass(frozen=True)
class Shape:
    """One request's answer: of a chat, or of a completion."""

    exchange: Exchange
    model: str
    chat: bool
    usage: bool = False  # whether a stream tells the number of tokens
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def headers(self) -> dict[str, str]:
        """x-okedit-edit: BUNDLE/EDIT, where an edit answers."""
        hit = self.exchange.verdict and self.exchange.verdict.hit
        return {HEADER: f"{quote(hit.bundle)}/{quote(hit.edit_id, safe='')}"} if hit else {}

    def whole(self, text: str) -> dict[str, Any]:
        """The answer as one object."""
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": self.exchange.reason, "logprobs": None}
        return {**self._head(stream=False), "choices": [choice], "usage": self._usage(),
                "okedit": decision(self.exchange)}  # fmt: skip

    async def events(self) -> AsyncIterator[str]:
        """The answer as server-sent events; an error in the middle is an event, too."""
        first = {"okedit": decision(self.exchange)}
        if self.chat:
            yield _event(self._chunk({"role": "assistant", "content": ""}, None) | first)
            first = {}
        try:
            async for text in self.exchange.texts():
                yield _event(self._chunk({"content": text}, None) | first)
                first = {}
        except Exception as error:
            yield _event(told(error).body())
            return
        yield _event(self._chunk({}, self.exchange.reason) | first)
        if self.usage:
            yield _event({**self._head(stream=True), "choices": [], "usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _head(self, stream: bool) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if stream else ''}" if self.chat else "text_completion"
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: dict[str, str], reason: str | None) -> dict[str, Any]:
        said = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
        choice = {"index": 0, **said, "finish_reason": reason, "logprobs": None}
        return {**self._head(stream=True), "choices": [choice]}

    def _usage(self) -> dict[str, int]:
        read, made = self.exchange.prompt_tokens, self.exchange.answer_tokens
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def decision(exchange: Exchange) -> dict[str, Any]:
    """What was decided: the edit that answers and its bundle, the one that the answer follows from, what
    every stage found, in words too, and the bundles whose weights act on every question.
    """
    verdict = exchange.verdict
    hit, context = (verdict.hit, verdict.context) if verdict else (None, None)
    shown = verdict and replace(verdict, candidates=verdict.candidates[:CANDIDATES])
    return {
        "edit": hit and hit.edit_id,
        "bundle": hit and hit.bundle,
        "context": context and context.edit_id,
        "bundles": [held.name for held in exchange.bundles],
        "ungated": [held.name for held in exchange.bundles if not held.gated],
        "explanation": verdict_words(verdict) if exchange.bundles else ALONE,
        "verdict": verdict_json(shown),
    }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"
