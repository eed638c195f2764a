"""The messages of a chat: turns of texts and pictures, and the question that is asked last.

A scope decides by the last question and its picture, whatever was said before. Not here: how a model reads
the turns (prompt.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from okedit_cli.serve.errors import ApiError, bad, check_utf8

if TYPE_CHECKING:
    from PIL.Image import Image

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
ReadPicture = Callable[[Any, str], "Image"]


@dataclass(frozen=True)
class Turn:
    """What one side said: texts and pictures, in their order."""

    role: str  # system, user or assistant
    parts: tuple[str | Image, ...]

    @property
    def text(self) -> str:
        """Its texts, a line break between them."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> list[Image]:
        """Its pictures."""
        return [part for part in self.parts if not isinstance(part, str)]


@dataclass(frozen=True)
class Conversation:
    """Turns, of which the last is the user's."""

    turns: tuple[Turn, ...]

    @property
    def question(self) -> str:
        """What is asked last."""
        return self.turns[-1].text

    @property
    def latest(self) -> list[Image]:
        """What the last question is about: its own pictures, else those of the last turn that showed any."""
        return next((turn.pictures for turn in reversed(self.turns) if turn.pictures), [])

    @property
    def picture(self) -> Image | None:
        """The last of these; None without any."""
        return self.latest[-1] if self.latest else None

    @property
    def pictures(self) -> list[Image]:
        """All pictures, in their order."""
        return [picture for turn in self.turns for picture in turn.pictures]

    @property
    def single(self) -> bool:
        """Whether it is one question with at most one picture, and nothing before it."""
        return len(self.turns) == 1 and len(self.pictures) <= 1

    def asking(self, question: str) -> Conversation:
        """The same with other words for the last question; its pictures stay, before the words."""
        last = Turn("user", (*self.turns[-1].pictures, question))
        return Conversation((*self.turns[:-1], last))


def conversation(messages: Any, picture: ReadPicture, *, most: int = 8, longest: int = 1000) -> Conversation:
    """A request's `messages`, with at most `most` pictures, which `picture` reads (pictures.PictureReader).

    ApiError 400: it is no list of messages, they and their parts are more than `longest`, or one is not
    understood; `param` says which.
    """
    if not isinstance(messages, list) or not messages:
        raise bad("messages is not a list with at least one message.", param="messages")
    for what, count in (("messages", len(messages)), ("parts", sum(map(_count, messages)))):
        if count > longest:  # a chat template takes its time for each, also for an empty one
            raise bad(f"messages holds {count:,} {what}, expected at most {longest:,}.", param="messages")
    found, seen = [], 0
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        role, content = _checked(message, place)
        parts, seen = _parts(content, f"{place}.content", role, picture, seen, most)
        found.append(Turn(role, tuple(parts)))
    if found[-1].role != "user":
        raise bad(
            f"The last message is of the role {found[-1].role!r}, expected a question of the user.",
            param=f"messages.{len(found) - 1}.role",
        )
    if not found[-1].text.strip():
        raise bad("The last message holds no question.", param=f"messages.{len(found) - 1}.content")
    return Conversation(tuple(found))


def last_question(messages: Any) -> tuple[str, list[str]] | None:
    """The last question's words and the URLs of its pictures (else of those of the last message that showed
    any) as they stand in a request's `messages`, nothing of it read or fetched; None where the last message
    is no question in words.

    For those who decide about requests that others will answer: what is not known is passed over.
    """
    rows = [row for row in messages if isinstance(row, dict)] if isinstance(messages, list) else []
    if not rows or rows[-1].get("role") != "user":
        return None
    texts = [text for kind, text in _loose(rows[-1].get("content")) if kind == "text"]
    question = "\n".join(texts)
    if not question.strip():
        return None
    shown = ([url for kind, url in _loose(row.get("content")) if kind == "image"] for row in reversed(rows))
    return question, next(filter(None, shown), [])


def _count(message: Any) -> int:
    """The parts of a message."""
    content = message.get("content") if isinstance(message, dict) else None
    return len(content) if isinstance(content, list) else 1


def _checked(message: Any, place: str) -> tuple[str, Any]:
    """Role and content of one message."""
    if not isinstance(message, dict):
        raise bad(f"{place} is not an object with role and content.", param=place)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise bad(f"{place}.role is {_shown(role)}, expected one of {known}.", param=f"{place}.role")
    if message.get("tool_calls") or message.get("function_call"):
        raise bad(f"{place} calls a tool, which this server has none of.", param=f"{place}.tool_calls")
    return ROLES[role], message.get("content")


def _parts(
    content: Any, place: str, role: str, picture: ReadPicture, seen: int, most: int
) -> tuple[list[str | Image], int]:
    """The parts of one message, and how many pictures there have been so far."""
    if isinstance(content, str):
        return [_text(content, place)], seen
    if not isinstance(content, Sequence) or not content:
        raise bad(f"{place} is {_shown(content)}, expected a text or a list of parts.", param=place)
    found: list[str | Image] = []
    for number, part in enumerate(content):
        where = f"{place}.{number}"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            found.append(_text(part["text"], f"{where}.text"))
        elif kind == "image_url":
            if role != "user":
                raise bad(f"{where} is a picture of the role {role!r}; users show pictures.", param=where)
            seen += 1
            if seen > most:
                raise ApiError(
                    413, f"There are more than {most} pictures, the most of one request.", param=where
                )
            given = part.get("image_url")
            url = given.get("url") if isinstance(given, dict) else given
            found.append(picture(url, f"{where}.image_url.url"))
        else:
            raise bad(
                f"{where} is a part of type {_shown(kind)}, expected text or image_url.",
                param=f"{where}.type",
            )
    return found, seen


def _text(text: str, place: str) -> str:
    check_utf8(text, place)
    return text


def _loose(content: Any) -> list[tuple[str, str]]:
    """("text", words) and ("image", URL) of a message's content, as far as that is known."""
    if isinstance(content, str):
        return [("text", content)]
    found = []
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        given = part.get("image_url") if kind == "image_url" else None
        url = given.get("url") if isinstance(given, dict) else given
        if kind == "text" and isinstance(part.get("text"), str):
            found.append(("text", part["text"]))
        elif isinstance(url, str):
            found.append(("image", url))
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
