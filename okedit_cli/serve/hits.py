"""What becomes of a request that a fact is about: told the fact, answered with it, or sent to another model.

Told means in the user's last message, before the question: every chat template has a user's turn, while a
second system message, or two turns of the user, are refused by some; and what an engine has cached of the
turns before stays of use. Not here: which fact it is (front.py), and sending (upstream.py).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from okedit_cli.errors import UsageError
from okedit_cli.serve.front import Hit

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
WAYS = ("context", "answer", "model")
MOST = 64  # answers to one request
TOLD = 'Given that the answer to "{prompt}" is "{answer}", answer this: {question}'
FOLLOWS = 'The answer to "{prompt}" is "{answer}". {question}'


def is_chat(messages: Any) -> bool:
    """Whether a request's `messages` have the form of a chat, so that the last one can be told a fact."""
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        return False
    content = messages[-1].get("content")
    parts = content if isinstance(content, list) else ()
    return isinstance(content, str) or (bool(parts) and all(map(_is_part, parts)))


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and (part.get("type") != "text" or isinstance(part.get("text"), str))


def told(path: str, body: Mapping[str, Any], hit: Hit) -> bytes:
    """The request with the fact before its question, as JSON. ValueError, RecursionError: it cannot be
    written again.
    """
    if path == TEXT:
        prompt = body["prompt"]
        one = prompt if isinstance(prompt, str) else prompt[0]
        return _json({**body, "prompt": _told(hit, one)})
    *before, message = body["messages"]
    content = message["content"]
    if isinstance(content, str):
        content = _told(hit, content)
    else:
        at = next(i for i, one in enumerate(content) if one.get("type") == "text")
        part = {**content[at], "text": _told(hit, content[at]["text"])}
        content = [*content[:at], part, *content[at + 1 :]]
    return _json({**body, "messages": [*before, {**message, "content": content}]})


def _told(hit: Hit, question: str) -> str:
    form = TOLD if hit.answers else FOLLOWS
    return form.format(prompt=hit.prompt, answer=hit.answer.strip().rstrip("."), question=question)


def renamed(body: Mapping[str, Any], pattern: str, hit: Hit) -> bytes:
    """The request for the model that holds the edit, as JSON; errors as `told`."""
    return _json({**body, "model": model_name(pattern, hit.edit_id)})


def model_name(pattern: str, edit_id: str) -> str:
    """An engine's name for an edit: `{edit}` of the pattern is its id as --to peft writes it."""
    from okedit_cli.exports.names import folder_name

    return pattern.replace("{edit}", folder_name(edit_id))


def check_pattern(pattern: str) -> None:
    """UsageError unless the pattern tells edits apart."""
    if "{edit}" not in pattern:
        raise UsageError(
            f"--model-name {pattern} does not tell edits apart, expected {{edit}} in it.",
            hint="For example --model-name '{edit}' or 'facts-{edit}'.",
        )


def can_answer(body: Mapping[str, Any]) -> bool:
    """Whether a request can be answered in plain words, once: it asks for no format, logits or tool."""
    wanted = body.get("response_format")
    plain = wanted is None or (isinstance(wanted, dict) and wanted.get("type") == "text")
    forced = body.get("tool_choice") not in (None, "auto", "none")
    forms = ("logprobs", "echo", "function_call", "functions", "audio", "structured_outputs")
    formed = any(body.get(name) for name in forms) or any(name.startswith("guided_") for name in body)
    count = body.get("n")
    several = count not in (None, 1) and (bool(body.get("stream")) or type(count) is not int or count > MOST)
    return plain and not (forced or formed or several or body.get("modalities") not in (None, ["text"]))


def answered(path: str, body: Mapping[str, Any], hit: Hit) -> bytes:
    """The answer to a request that is not streamed, as JSON."""
    count = body.get("n")
    choices = [_choice(path, i, hit.answer) for i in range(count if type(count) is int and count > 0 else 1)]
    return _json({**_head(path, body, hit, ""), "choices": choices, "usage": _usage()})


def events(path: str, body: Mapping[str, Any], hit: Hit) -> Iterator[bytes]:
    """The same as the events of a stream."""
    head = _head(path, body, hit, ".chunk")
    for delta, finish in _deltas(path, hit.answer):
        yield _event({**head, "choices": [{"index": 0, **delta, "logprobs": None, "finish_reason": finish}]})
    options = body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        yield _event({**head, "choices": [], "usage": _usage()})
    yield b"data: [DONE]\n\n"


def _deltas(path: str, answer: str) -> list[tuple[dict[str, Any], str | None]]:
    if path == TEXT:
        return [({"text": answer}, None), ({"text": ""}, "stop")]
    first = {"delta": {"role": "assistant", "content": ""}}
    return [(first, None), ({"delta": {"content": answer}}, None), ({"delta": {}}, "stop")]


def _choice(path: str, index: int, answer: str) -> dict[str, Any]:
    if path == TEXT:
        return {"index": index, "text": answer, "logprobs": None, "finish_reason": "stop"}
    message = {"role": "assistant", "content": answer, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}


def _head(path: str, body: Mapping[str, Any], hit: Hit, kind: str) -> dict[str, Any]:
    chat = path == CHAT
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
        "object": f"chat.completion{kind}" if chat else "text_completion",
        "created": int(time.time()),
        "model": body["model"] if isinstance(body.get("model"), str) else "",
        "okedit": {"edit": hit.edit_id, "bundle": hit.bundle},
    }


def _usage() -> dict[str, int]:
    """No model read or made a token."""
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
        return json.dumps(value, separators=(",", ":")).encode()
