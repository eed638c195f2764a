"""Control tokens in texts: what a model's tokenizer reads as a sign of its own and never as the letters.

In a question such a token ends a turn or stands for a picture; in an answer it is dropped when the answer is
read. Texts that hold one are found here before anything is fitted; whom to tell is the caller's concern.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

_OF_PROCESSORS = ("image_token", "video_token", "audio_token")


def image_token(loaded: LoadedModel) -> str | None:
    """The placeholder as text, one for a picture; None where pictures are not understood."""
    if loaded.processor is None:
        return None
    token = getattr(loaded.processor, "image_token", None)
    number = image_token_id(loaded.model)
    if token:
        return str(token)  # BLIP-2's is an AddedToken
    return None if number is None else loaded.tokenizer.convert_ids_to_tokens(number)


def control_tokens(loaded: LoadedModel) -> tuple[str, ...]:
    """Every placeholder and control token of the model, as text; the longest first."""
    if "control tokens" not in loaded.cache:
        tokenizer, processor = loaded.tokenizer, loaded.processor
        found = {str(token) for token in tokenizer.all_special_tokens}
        found |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        if processor is not None:
            named = (image_token(loaded), *(getattr(processor, name, None) for name in _OF_PROCESSORS))
            found |= {token for token in named if isinstance(token, str)}
        # a tokenizer may pad with a word of its vocabulary, which is a word all the same
        marked = (token for token in found if token.strip() and not token.strip().isalnum())
        loaded.cache["control tokens"] = tuple(sorted(marked, key=lambda token: (-len(token), token)))
    return loaded.cache["control tokens"]


def control_ids(loaded: LoadedModel) -> frozenset[int]:
    """Ids of every placeholder and control token: those that mark thinking among them."""
    if "control ids" not in loaded.cache:
        tokenizer = loaded.tokenizer
        found = {*tokenizer.all_special_ids, image_token_id(loaded.model)}
        found |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        found |= {tokenizer.convert_tokens_to_ids(token) for token in control_tokens(loaded)}
        words = {number for number in found if number is not None and _is_word(tokenizer, number)}
        loaded.cache["control ids"] = frozenset(found - words - {None})
    return loaded.cache["control ids"]


def _is_word(tokenizer, number: int) -> bool:
    """Whether a token that stands for something else too is a word of the vocabulary."""
    return str(tokenizer.convert_ids_to_tokens(number)).strip().isalnum()


def control_token_in(loaded: LoadedModel, text: str) -> str | None:
    """The first of the model's control tokens that a text holds; None where it holds none."""
    return next((token for token in control_tokens(loaded) if token in text), None)


def with_control_token(
    loaded: LoadedModel, texts: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """(what, text, token) of each of the texts, given as (what, text), that holds a control token."""
    for what, text in texts:
        token = control_token_in(loaded, text)
        if token is not None:
            yield what, text, token


def texts_of(fact: Fact) -> Iterator[tuple[str, str]]:
    """(what it is, text) of every text of a fact that a model reads or says."""
    yield "prompt", fact.prompt
    yield "answer", fact.answer
    yield from (("an accepted answer", text) for text in fact.accepted)
    yield from (("a rephrase", text) for text in fact.rephrases)
    for key in ("keep", "related", "holdout"):
        for question in getattr(fact, key):
            yield f"a prompt in {key}", question.prompt
            if question.answer is not None:
                yield f"an answer in {key}", question.answer


def words_for(what: str, token: str, loaded: LoadedModel) -> str:
    """What is wrong with a text that holds the token, as a part of a sentence."""
    return f"{what} has {token}, a control token of {loaded.name}, which it does not read or say as text"
