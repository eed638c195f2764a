"""Prompts of requests as a model reads them: conversations by its chat template, completions as they are.

One question with nothing before it is read exactly as `okedit ask` reads it. Not here: which edit answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models.control import control_token_in, image_token
from okedit_cli.models.encode import check_length, encode_row
from okedit_cli.models.prompts import adds_special_tokens, chat_template
from okedit_cli.models.sites import text_config
from okedit_cli.serve.errors import bad
from okedit_cli.serve.messages import Conversation, Turn

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from okedit_cli.models.load import LoadedModel

SIGNS = 50  # of a prompt for each token that a model reads; what is longer is not even cut into tokens
TOO_LONG = "context_length_exceeded"


@dataclass(frozen=True)
class Completion:
    """A text that is to be gone on with; it is the question too."""

    question: str
    picture: Image | None = None
    single = False

    @property
    def pictures(self) -> list[Image]:
        """None."""
        return []

    latest = pictures

    def asking(self, question: str) -> Completion:
        """Another text in its place."""
        return Completion(question)


Prompt = Conversation | Completion


def encode_prompt(loaded: LoadedModel, prompt: Prompt) -> dict[str, Tensor]:
    """A prompt's inputs as encode_row gives them: input_ids [1, L] and the rest.

    ApiError 400: it is longer than the model reads; UsageError: it holds control tokens or pictures that the
    model does not take; ModelError: the chat template loses a part of it.
    """
    _check_signs(loaded, prompt)
    try:
        if prompt.single:
            return encode_row(loaded, prompt.question, prompt.picture)
        if isinstance(prompt, Completion):
            row = _tokens(loaded, _clean(loaded, prompt.question), True, [])
        else:
            text = _rendered(loaded, prompt)
            row = _tokens(loaded, text, adds_special_tokens(loaded, text), prompt.pictures)
        check_length(loaded, row["input_ids"].shape[1])
    except UsageError as error:
        if "reads at most" in error.message:
            raise bad(error.message, code=TOO_LONG, hint=error.hint) from None
        raise
    return row


def _check_signs(loaded: LoadedModel, prompt: Prompt) -> None:
    longest = getattr(text_config(loaded.model), "max_position_embeddings", None)
    turns = prompt.turns if isinstance(prompt, Conversation) else (Turn("user", (prompt.question,)),)
    signs = sum(len(turn.text) for turn in turns)
    if longest and signs > longest * SIGNS:
        raise bad(
            f"The prompt has {signs:,} characters; {loaded.name} reads at most {longest:,} tokens.",
            code=TOO_LONG,
            hint="Shorten the prompt.",
        )


def _tokens(loaded: LoadedModel, text: str, special: bool, pictures: list[Image]) -> dict[str, Tensor]:
    """A rendered text's inputs, with its pictures."""
    if loaded.processor is None:
        if pictures:
            raise UsageError(f"{loaded.name} is a text-only model and cannot look at a picture.")
        return dict(loaded.tokenizer(text, add_special_tokens=special, return_tensors="pt"))
    shown = {"images": [pictures]} if pictures else {}
    return dict(loaded.processor(text=[text], **shown, add_special_tokens=special, return_tensors="pt"))


def _rendered(loaded: LoadedModel, talk: Conversation) -> str:
    """A conversation as text, up to where the model speaks. A template that knows no system turn is given its
    words at the head of the first question.
    """
    turns = [Turn(turn.role, (*turn.pictures, _clean(loaded, turn.text))) for turn in talk.turns]
    if chat_template(loaded) is None:
        return _plainly(loaded, turns)
    failure: Exception | None = None
    for some in (turns, _without_system(turns)):
        for form in (_parts, _plain) if loaded.processor is not None else (_plain, _parts):
            try:
                text = _apply(loaded, some, form)
            except Exception as error:  # templates fail in their own words: jinja's, TypeError, KeyError
                failure = error
                continue
            if _is_whole(loaded, text, some):
                return text
    raise ModelError(
        f"{loaded.name}: its chat template does not put these messages into a text"
        + (f" ({str(failure).splitlines()[0]})." if failure and str(failure) else "."),
        hint="Let user and assistant take turns.",
    ) from failure


def _apply(loaded: LoadedModel, turns: list[Turn], form: Callable[[LoadedModel, Turn], Any]) -> str:
    template = chat_template(loaded)
    return loaded.tokenizer.apply_chat_template(
        [{"role": turn.role, "content": form(loaded, turn)} for turn in turns],
        chat_template=template if isinstance(template, str) else None,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,  # as one question is put (models/prompts.py)
    )


def _is_whole(loaded: LoadedModel, text: str, turns: list[Turn]) -> bool:
    """Whether a rendered text holds what was said, in its order, and a placeholder for each picture."""
    place = 0
    for turn in turns:
        found = text.find(turn.text, place)
        if found < 0 and turn.role != "assistant":  # templates cut what a model was thinking
            return False
        place = max(place, found + len(turn.text))
    listed = "{'type':" in text and not any("{'type':" in turn.text for turn in turns)
    shown = sum(len(turn.pictures) for turn in turns)
    return not listed and (not shown or text.count(image_token(loaded) or "\0") == shown)


def _without_system(turns: list[Turn]) -> list[Turn]:
    """System turns as the first words of the question that comes next."""
    found: list[Turn] = []
    words: list[str] = []
    for turn in turns:
        if turn.role == "system":
            words.append(turn.text)
        elif turn.role == "user" and words:
            found.append(Turn("user", (*turn.pictures, "\n\n".join([*words, turn.text]))))
            words = []
        else:
            found.append(turn)
    return found


def _parts(loaded: LoadedModel, turn: Turn) -> list[dict[str, str]]:
    return [*({"type": "image"} for _ in turn.pictures), {"type": "text", "text": turn.text}]


def _plain(loaded: LoadedModel, turn: Turn) -> str:
    return f"{image_token(loaded)}\n" * len(turn.pictures) + turn.text


def _plainly(loaded: LoadedModel, turns: list[Turn]) -> str:
    """What a base model without a template goes on with: one text after the other."""
    return "\n".join(_plain(loaded, turn) for turn in turns)


def _clean(loaded: LoadedModel, text: str) -> str:
    """A text without spaces around it; UsageError where it holds a control token."""
    token = control_token_in(loaded, text)
    if token is not None:
        raise UsageError(
            f"The prompt contains {token}, a control token of {loaded.name}, which it does not read as text.",
            hint="Leave it out, or write it with spaces in it.",
        )
    return text.strip()
