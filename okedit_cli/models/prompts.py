"""Questions and answers as the text a model was taught on: its own chat template, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models.control import control_token_in, image_token
from okedit_cli.models.logs import quiet
from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


def chat_template(loaded: LoadedModel) -> str | dict | None:
    """The template in force: the processor's, else the tokenizer's; None for a base model without one."""
    return getattr(loaded.processor, "chat_template", None) or getattr(
        loaded.tokenizer, "chat_template", None
    )


def render(loaded: LoadedModel, prompt: str, with_picture: bool, answer: str | None = None) -> str:
    """The conversation as text, up to where the model speaks; with `answer`, that turn as well.

    Spaces around the prompt are dropped: they mean nothing to the reader and other tokens to the model.
    Raises UsageError for a prompt that contains a control token, ModelError for a template that loses the
    prompt.
    """
    prompt = prompt.strip()
    _refuse_control_tokens(loaded, prompt)
    mark = _mark(loaded) if with_picture else ""
    with_picture = bool(mark)
    if chat_template(loaded) is None:
        # a base model goes on in the same text, so the answer begins with a space
        return mark + prompt + (f" {answer}" if answer else "")
    turns = [("user", prompt)] + ([] if answer is None else [("assistant", answer)])
    return _rendered(loaded, turns, with_picture)


def render_turns(loaded: LoadedModel, turns: Sequence[tuple[str, str]], *, thinking: bool = False) -> str:
    """A conversation of (role, text) turns without pictures as text, up to where the model speaks.

    `thinking` leaves it to the model whether it thinks aloud first, where its template knows of that.
    ModelError for a template that does not take such turns.
    """
    if chat_template(loaded) is None:
        if len(turns) > 1:
            raise ModelError(
                f"{loaded.name} has no chat template, so it knows of no turns.", hint="Ask one question."
            )
        return turns[0][1]
    return _rendered(loaded, turns, False, thinking)


def _rendered(
    loaded: LoadedModel, turns: Sequence[tuple[str, str]], with_picture: bool, thinking: bool = False
) -> str:
    """The turns as the chat template writes them, a picture in the first of them."""
    placeholder = image_token(loaded) if with_picture else None
    failure: Exception | None = None
    for form in (_parts, _plain) if loaded.processor is not None else (_plain, _parts):
        messages = [
            {"role": role, "content": form(text, None if number else placeholder)}
            for number, (role, text) in enumerate(turns)
        ]
        speaks = turns[-1][0] != "assistant"
        try:
            text = _apply(loaded, messages, add_generation_prompt=speaks, thinking=thinking)
        except Exception as error:  # templates fail in their own words: jinja's, TypeError, KeyError
            failure = error
            continue
        # A template that wants plain strings may print the list of parts as Python would.
        whole = all(said in text for _, said in turns)
        listed = "{'type':" in text and not any("{'type':" in said for _, said in turns)
        if whole and not listed and (not with_picture or placeholder in text):
            return text
    raise ModelError(
        f"{loaded.name}: its chat template does not put {'picture and ' if with_picture else ''}prompt"
        " into the text" + (f" ({failure})." if failure else "."),
        hint="Use a checkpoint whose chat template is in order.",
    ) from failure


def adds_special_tokens(loaded: LoadedModel, text: str) -> bool:
    """Whether the tokenizer should still put its beginning token before rendered text, as transformers
    decides it.
    """
    if chat_template(loaded) is None:
        return True
    begin = loaded.tokenizer.bos_token
    return loaded.processor is not None and not (begin is not None and text.startswith(begin))


def _mark(loaded: LoadedModel) -> str:
    """What stands for a picture before a text without template; nothing where the processor adds placeholders
    to those that it finds (BLIP-2's).
    """
    if "picture mark" not in loaded.cache:
        from PIL import Image

        blank, number = Image.new("RGB", (64, 64)), image_token_id(loaded.model)

        def count(text: str) -> int:
            try:
                row = loaded.processor(text=[text], images=[blank], return_tensors="pt")
            except Exception:  # in the processor's own words: it wants its placeholder
                return 0
            return int((row["input_ids"] == number).sum())

        token = image_token(loaded)
        with quiet():
            alone, marked = count("?"), count(f"{token}\n?")
        # PaliGemma's puts them where there are none: its own prompts have no line end behind them
        own = token if alone else f"{token}\n"
        loaded.cache["picture mark"] = "" if marked > alone > 0 else own
    return loaded.cache["picture mark"]


def _apply(loaded: LoadedModel, messages: list[dict], *, add_generation_prompt: bool, thinking: bool) -> str:
    # The tokenizer renders for both: the processor's own method reads a video processor that may not be
    # there.
    template = chat_template(loaded)
    return loaded.tokenizer.apply_chat_template(
        messages,
        chat_template=template if isinstance(template, str) else None,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
        **({} if thinking else {"enable_thinking": False}),  # Qwen3's switch; other templates know of none
    )


def _parts(text: str, placeholder: str | None) -> list[dict]:
    return [*([{"type": "image"}] if placeholder else []), {"type": "text", "text": text}]


def _plain(text: str, placeholder: str | None) -> str:
    return f"{placeholder}\n{text}" if placeholder else text


def _refuse_control_tokens(loaded: LoadedModel, prompt: str) -> None:
    token = control_token_in(loaded, prompt)
    if token is None:
        return
    if token == image_token(loaded):
        raise UsageError(
            f"The prompt contains {token}, which stands for a picture in {loaded.name}.",
            hint="Leave it out: the picture is put in place by itself.",
        )
    raise UsageError(
        f"The prompt contains {token}, a control token of {loaded.name}, which it does not read as text.",
        hint="Leave it out, or write it with spaces in it.",
    )
