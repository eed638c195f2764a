"""Requests of the OpenAI API as this server takes them: fields, their bounds, and the schema of them.

A field that would change an answer and is not known here is refused, not passed over; others are. Not here:
what messages hold (messages.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from okedit_cli.serve.decoding import Sampling
from okedit_cli.serve.errors import ApiError, bad, check_utf8

MAX_TOKENS = 256  # of an answer where a request names no number
STOP = 500  # characters of a stop, which every token of an answer is compared with
_SEED = 2**63
_TEXT = {"type": "object", "required": ["type", "text"], "properties": {
    "type": {"const": "text"}, "text": {"type": "string"}}}  # fmt: skip
_IMAGE = {"type": "object", "required": ["type", "image_url"], "properties": {
    "type": {"const": "image_url"},
    "image_url": {"type": "object", "required": ["url"], "properties": {"url": {
        "type": "string", "description": "data:image/png;base64,... or http(s)"}}}}}  # fmt: skip
_MESSAGES = {"type": "array", "minItems": 1, "maxItems": 1000, "items": {
    "type": "object", "required": ["role", "content"], "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {"anyOf": [
            {"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, _IMAGE]}}
        ]}}}}  # fmt: skip
Nothing = Annotated[list[Any] | None, Field(max_length=0)]
Zero = Annotated[float | None, Field(ge=0, le=0)]
Asked = TypeVar("Asked", bound="Sampled")


class StreamOptions(BaseModel):
    """What else a stream tells."""

    model_config = ConfigDict(strict=True)
    include_usage: bool | None = None


class Format(BaseModel):
    """The form of an answer: text."""

    model_config = ConfigDict(strict=True)
    type: Literal["text"] = "text"


class Sampled(BaseModel):
    """What both kinds of requests have."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)
    model: str | None = Field(None, max_length=2000, description="one of /v1/models; else all bundles")
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, description="0, the likeliest tokens, unless given")
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-_SEED, lt=_SEED)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = Field(
        None, description=f"at most 4, each of at most {STOP} characters"
    )
    n: int | None = Field(None, ge=1, le=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    logit_bias: Annotated[dict[str, Any] | None, Field(max_length=0)] = None

    @field_validator("stop", mode="before")
    @classmethod
    def _short(cls, stop: Any) -> Any:
        texts = stop if isinstance(stop, list) else [stop]
        if any(isinstance(text, str) and len(text) > STOP for text in texts):
            raise PydanticCustomError("stop", f"A stop has at most {STOP} characters")
        return stop

    def sampling(self, most: int) -> Sampling:
        """How the answer is to be made, of at most `most` tokens."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            min(self.longest() or min(MAX_TOKENS, most), most),
            self.temperature or 0.0,
            1.0 if self.top_p is None else self.top_p,
            self.seed,
            tuple(filter(None, stop)),
        )

    def longest(self) -> int | None:
        """The most tokens that the request asks for."""
        return self.max_tokens

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Sampled):
    """A body of /v1/chat/completions."""

    messages: Annotated[Any, WithJsonSchema(_MESSAGES)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: Literal[False] | None = None
    tools: Nothing = None
    functions: Nothing = None
    response_format: Format | None = None

    def longest(self) -> int | None:
        """The newer name comes first."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Sampled):
    """A body of /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    best_of: int | None = Field(None, ge=1, le=1)
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: Literal[""] | None = None

    @property
    def text(self) -> str:
        """What is to be gone on with; ApiError 400: there is none, or it is no text."""
        text, param = (
            (self.prompt, "prompt") if isinstance(self.prompt, str) else (self.prompt[0], "prompt.0")
        )
        if not text.strip():
            raise bad("The prompt is empty.", param=param)
        check_utf8(text, param)
        return text


def checked(kind: type[Asked], body: dict[str, Any]) -> Asked:
    """A body as a request; ApiError 400 names the first field that is not as it should be."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _told(error) from None


def _told(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    param = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "missing":
        return bad(f"{param} is missing.", param=param)
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    shown = shown.encode("ascii", "backslashreplace").decode()
    return bad(f"{param} is {shown}: {first['msg'][:1].lower()}{first['msg'][1:]}.", param=param)
