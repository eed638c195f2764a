"""The user's question alone, out of a prompt's token ids: what does not depend on picture, padding or
template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.models.prompts import adds_special_tokens, render
from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from okedit_cli.models.load import LoadedModel

# They differ in their first and in their last token, so that what they share is the template's and not
# theirs.
_SENTINELS = ("a", "Q?", "7 x")
KEPT = 10_000  # questions of which is remembered what they and their prompts consist of


@dataclass(frozen=True)
class _Frame:
    """Ids right before and right after the question, up to the picture or the end of the prompt."""

    before: list[int]
    after: list[int]


def question_token_ids(loaded: LoadedModel, input_ids_row, attention_mask_row) -> list[int]:
    """Ids of the question in a prompt [L]: no pads, image tokens, special tokens or frame.

    An answer behind the prompt is left out as well, except where there is no template: nothing tells the two
    apart then. They are the ids of the question's own text, tokenised by itself, so that a frame that ends in
    a space or a picture before the question changes nothing.
    """
    kept = input_ids_row[attention_mask_row.bool()].tolist()
    placeholder = image_token_id(loaded.model)
    pictured = placeholder is not None and placeholder in kept
    special = set(loaded.tokenizer.all_special_ids)
    region = _region(kept, _frame(loaded, pictured), placeholder, special)
    if pictured:  # the picture may stand in an earlier turn
        region = _last_turn(region, _frame(loaded, False), special)
    region = [i for i in region if i not in special and i != placeholder]
    known = loaded.cache.setdefault("questions", {})
    key = tuple(region)
    if key not in known:
        if len(known) >= KEPT:
            known.clear()
        text = loaded.tokenizer.decode(region, clean_up_tokenization_spaces=False).strip()
        own = loaded.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        known[key] = [i for i in own if i not in special]
    return list(known[key])


def question_ids(loaded: LoadedModel, text: str) -> list[int]:
    """Ids of a question by itself, as attach finds them inside a prompt."""
    ids = loaded.tokenizer(text.strip(), add_special_tokens=False)["input_ids"]
    special = set(loaded.tokenizer.all_special_ids)
    return [i for i in ids if i not in special]


def question_text(loaded: LoadedModel, ids: Sequence[int]) -> str:
    """The words of a question's ids."""
    return loaded.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False).strip()


def prompt_length(loaded: LoadedModel, input_ids_row, attention_mask_row) -> int:
    """How many of a row's attended tokens are the prompt, up to where the model speaks; all of them where the
    template's opening is not found.
    """
    kept = input_ids_row[attention_mask_row.bool()].tolist()
    after = _frame(loaded, image_token_id(loaded.model) in kept).after
    stop = _find_last(kept, after, len(kept)) if after else None
    return len(kept) if stop is None else stop + len(after)


def template_head(loaded: LoadedModel, ids: Sequence[int]) -> int:
    """How many leading ids of a prompt without picture are the template's own."""
    return _shared(ids, _frame(loaded, False).before)


def _region(ids: list[int], frame: _Frame, placeholder: int | None, special: set[int]) -> list[int]:
    """The ids between the frame's two parts; of a conversation, those of its last turn."""
    # The last place where the frame closes: an answer may follow, and earlier turns may come before.
    stop = _find_last(ids, frame.after, len(ids)) if frame.after else len(ids)
    stop = len(ids) if stop is None else stop
    if placeholder is not None and placeholder in ids[:stop]:
        last = max(i for i in range(stop) if ids[i] == placeholder)
        start = last + 1
        return ids[start + _shared(ids[start:stop], frame.before) : stop]
    # Another system prompt than the template's own changes the far end of what comes before, not the near
    # one.
    begin = max((i for i, token in enumerate(frame.before) if token in special), default=0)
    for before in (frame.before, frame.before[begin:]):
        start = _find_last(ids, before, stop)
        if start is not None:
            return ids[start + len(before) : stop]
    return ids[:stop]


def _last_turn(ids: list[int], frame: _Frame, special: set[int]) -> list[int]:
    """The ids behind the last opening of a user's turn; all where there is none."""
    opening = _opening(frame, special)
    start = _find_last(ids, opening, len(ids)) if opening else None
    return ids if start is None else ids[start + len(opening) :]


def _opening(frame: _Frame, special: set[int]) -> list[int]:
    """How a user's turn begins: what comes before a question, from its last special token on."""
    begin = max((i for i, token in enumerate(frame.before) if token in special), default=len(frame.before))
    return frame.before[begin:]


def _find_last(ids: list[int], part: list[int], stop: int) -> int | None:
    """Where `part` begins for the last time in ids[:stop]; 0 for an empty part."""
    if not part:
        return 0
    return next((i for i in range(stop - len(part), -1, -1) if ids[i : i + len(part)] == part), None)


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading ids two sequences share."""
    count = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        count += 1
    return count


def _frame(loaded: LoadedModel, pictured: bool) -> _Frame:
    frames = loaded.cache.setdefault("frames", {})
    if pictured not in frames:
        frames[pictured] = _find_frame(loaded, pictured)
    return frames[pictured]


def _find_frame(loaded: LoadedModel, pictured: bool) -> _Frame:
    """What is common to the prompts of questions that share nothing."""
    prompts = [prompt_ids(loaded, sentinel, pictured) for sentinel in _SENTINELS]
    first, *others = prompts
    head = min(_shared(first, other) for other in others)
    tail = min(_shared(first[::-1], other[::-1]) for other in others)
    before, after = first[:head], first[len(first) - tail :]
    placeholder = image_token_id(loaded.model)
    before = _behind(loaded, before)  # placeholders vary in number; what follows the last of them does not
    if placeholder in after:
        after = after[: after.index(placeholder) + 1]
    return _Frame(before, after)


def prompt_ids(loaded: LoadedModel, prompt: str, pictured: bool) -> list[int]:
    """Ids of a prompt, about a (blank) picture or none."""
    from PIL import Image

    if not pictured:
        return _spelled(loaded, prompt, False)
    text = render(loaded, prompt, True)
    special = adds_special_tokens(loaded, text)
    # the processor writes what stands around a picture's placeholders, so a real (blank) picture has to go
    # through it
    blank = Image.new("RGB", (64, 64))
    row = loaded.processor(text=[text], images=[blank], add_special_tokens=special, return_tensors="pt")
    return row["input_ids"][0].tolist()


def _spelled(loaded: LoadedModel, prompt: str, pictured: bool) -> list[int]:
    """Ids of the template's text as the tokenizer makes them, one placeholder for a picture."""
    text = render(loaded, prompt, pictured)
    return loaded.tokenizer(text, add_special_tokens=adds_special_tokens(loaded, text))["input_ids"]


def behind_picture(loaded: LoadedModel, question: str) -> list[int]:
    """The ids that stand behind the picture in the prompt of a question."""
    known = loaded.cache.setdefault("behind", {})
    if question not in known:
        if len(known) >= KEPT:
            known.clear()
        read = _by_words if _spells_out(loaded) else _by_picture
        known[question] = read(loaded, question)
    return list(known[question])


def asks_behind(loaded: LoadedModel) -> bool:
    """Whether the whole of a question stands behind the picture, in a model's prompts; found out once."""
    if "asks_behind" not in loaded.cache:
        first, other = (prompt_ids(loaded, text, True) for text in _SENTINELS[:2])
        ends = [len(ids) - len(_behind(loaded, ids)) for ids in (first, other)]
        loaded.cache["asks_behind"] = first[: ends[0]] == other[: ends[1]]
    return loaded.cache["asks_behind"]


def _spells_out(loaded: LoadedModel) -> bool:
    """Whether what the processor puts behind a picture is what the tokenizer makes of the template's text."""
    if "spells_out" not in loaded.cache:
        told = [(_by_words(loaded, text), _by_picture(loaded, text)) for text in _SENTINELS]
        loaded.cache["spells_out"] = all(words == picture for words, picture in told)
    return loaded.cache["spells_out"]


def _by_words(loaded: LoadedModel, question: str) -> list[int]:
    """What follows the picture's placeholder in the template's text; nothing looks at a picture."""
    return _behind(loaded, _spelled(loaded, question, True))


def _by_picture(loaded: LoadedModel, question: str) -> list[int]:
    return _behind(loaded, prompt_ids(loaded, question, True))


def _behind(loaded: LoadedModel, ids: Sequence[int]) -> list[int]:
    """The ids behind the last placeholder, all where there is none."""
    placeholder = image_token_id(loaded.model)
    last = max((place for place, one in enumerate(ids) if one == placeholder), default=-1)
    return list(ids[last + 1 :])
