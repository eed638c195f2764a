"""The user's question alone, out of a prompt's token ids: what does not depend on picture, padding or
template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.errors import ModelError
from okedit_cli.models.control import control_ids
from okedit_cli.models.prompts import adds_special_tokens, render, render_turns
from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from okedit_cli.models.load import LoadedModel

# They differ in their first and in their last token, so that what they share is the template's and not
# theirs.
_SENTINELS = ("a", "Q?", "7 x")
KEPT = 10_000  # questions of which is remembered what stands behind a picture


@dataclass(frozen=True)
class _Frame:
    """Ids that a template puts around a question: what a prompt without picture begins with, how a user's
    turn opens wherever it stands, and how a prompt ends, each in all its forms.
    """

    before: list[int]
    openings: list[list[int]]
    afters: list[list[int]]


def question_token_ids(loaded: LoadedModel, input_ids_row, attention_mask_row) -> list[int]:
    """Ids of the question in a prompt [L], of a conversation the user's last turn: no pads, picture tokens,
    control tokens or frame. Words may stand before, between and behind pictures.

    An answer behind the prompt is left out as well, except where there is no template: nothing tells the two
    apart then. They are the ids of the question's own text, tokenised by itself, so that a frame that ends in
    a space or a picture before the question changes nothing.
    """
    region = tuple(_region(input_ids_row[attention_mask_row.bool()].tolist(), _frame(loaded)))
    known = loaded.cache.setdefault("questions", {})
    if region not in known:
        if len(known) >= KEPT:
            known.clear()
        known[region] = question_ids(loaded, " ".join(_texts(loaded, region)))
    return list(known[region])


def _texts(loaded: LoadedModel, ids: Sequence[int]) -> list[str]:
    """The words before, between and behind control tokens and pictures."""
    texts, (left, right) = _parts(loaded, ids), _beside_picture(loaded)
    if len(texts) > 1:
        texts = [texts[0].removesuffix(left), *(one.removeprefix(right) for one in texts[1:])]
        texts[1:-1] = [one.strip().removesuffix(left) for one in texts[1:-1]]
    return [text.strip() for text in texts if text.strip()]


def _parts(loaded: LoadedModel, ids: Sequence[int]) -> list[str]:
    """The texts that control tokens and pictures part; empty ones in the middle are none."""
    control, parts = control_ids(loaded), [[]]
    for token in ids:
        if token not in control:
            parts[-1].append(token)
        elif parts[-1] or len(parts) == 1:
            parts.append([])
    return [loaded.tokenizer.decode(part, clean_up_tokenization_spaces=False).strip() for part in parts]


def _beside_picture(loaded: LoadedModel) -> tuple[str, str]:
    """The words that a template writes right before and right behind a picture (MiniGPT-4's <Img>), which are
    no control tokens of the tokenizer.
    """
    if "beside picture" not in loaded.cache:
        loaded.cache["beside picture"] = "", ""
        if loaded.processor is not None:
            prompts = [_region(prompt_ids(loaded, one, True), _frame(loaded)) for one in _SENTINELS]
            head = min(_shared(prompts[0], other) for other in prompts[1:])
            texts = _parts(loaded, prompts[0][:head])
            loaded.cache["beside picture"] = (texts[0], texts[-1]) if len(texts) > 1 else ("", "")
    return loaded.cache["beside picture"]


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
    stop, after = _end(kept, _frame(loaded))
    return stop + len(after)


def is_open(loaded: LoadedModel, ids: Sequence[int]) -> bool:
    """Whether the ids of a prompt stop before the model's turn opens, where the template tells: more is to
    come.
    """
    afters = _frame(loaded).afters
    return bool(afters) and _end(list(ids), _frame(loaded)) == (len(ids), [])


def template_head(loaded: LoadedModel, ids: Sequence[int]) -> int:
    """How many leading ids of a prompt without picture are the template's own."""
    return _shared(ids, _frame(loaded).before)


def _region(ids: list[int], frame: _Frame) -> list[int]:
    """The ids of the user's last turn, pictures among them."""
    stop, _ = _end(ids, frame)
    ends = [
        start + len(opening)
        for opening in frame.openings
        if (start := _find_last(ids, opening, stop)) is not None
    ]
    if not ends and (start := _find_last(ids, frame.before, stop)) is not None:
        ends = [start + len(frame.before)]
    return ids[max(ends, default=0) : stop]


def _end(ids: list[int], frame: _Frame) -> tuple[int, list[int]]:
    """Where the last turn of a user ends, and what closes it: the last place, since an answer may follow and
    earlier turns may come before; all and nothing where none is found.
    """
    found = [(_find_last(ids, after, len(ids)), after) for after in frame.afters]
    found = [one for one in found if one[0] is not None]
    return max(found, key=lambda one: (one[0], len(one[1])), default=(len(ids), []))


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


def _frame(loaded: LoadedModel) -> _Frame:
    if "frame" not in loaded.cache:
        loaded.cache["frame"] = _find_frame(loaded)
    return loaded.cache["frame"]


def _find_frame(loaded: LoadedModel) -> _Frame:
    """What is common to the prompts of questions that share nothing, in one turn and behind another."""
    first = [("user", "a"), ("assistant", "Q?")]
    before, after = _around(loaded, [])
    _, thinking = _around(loaded, [], thinking=True)
    later, _ = _around(loaded, first)
    begin = max((i for i, token in enumerate(before) if token in control_ids(loaded)), default=0)
    # what both share is how a turn opens; from its last control token on where another system prompt stands
    # before it
    opening = before[len(before) - _shared(before[::-1], later[::-1]) :] if later else []
    short = before[begin:]
    if len(short) == 1:  # a control token that may close a turn as well as open one
        short = []
    # a picture right behind it may change how its last token is cut
    cut = [one[:-1] for one in (opening, short) if len(one) > 2]
    openings = [one for one in dict.fromkeys(map(tuple, (opening, short, *cut))) if one]
    afters = [list(one) for one in dict.fromkeys((tuple(after), tuple(thinking))) if one]
    return _Frame(before, list(map(list, openings)), afters)


def _around(
    loaded: LoadedModel, turns: Sequence[tuple[str, str]], thinking: bool = False
) -> tuple[list[int], list[int]]:
    """Ids before and behind a question that comes after some turns; none of either where the template takes
    no such turns.
    """
    try:
        prompts = [
            ids_of(loaded, render_turns(loaded, [*turns, ("user", one)], thinking=thinking))
            for one in _SENTINELS
        ]
    except ModelError:
        if not turns:
            raise
        return [], []
    first, *others = prompts
    head = min(_shared(first, other) for other in others)
    tail = min(_shared(first[::-1], other[::-1]) for other in others)
    return first[:head], first[len(first) - tail :]


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
    return ids_of(loaded, render(loaded, prompt, pictured))


def ids_of(loaded: LoadedModel, text: str) -> list[int]:
    """Ids of rendered text, of a prompt without pictures."""
    return loaded.tokenizer(text, add_special_tokens=adds_special_tokens(loaded, text))["input_ids"]


def behind_picture(loaded: LoadedModel, question: str) -> list[int]:
    """The ids that stand behind the picture in the prompt of a question."""
    known = loaded.cache.setdefault("behind", {})
    if question not in known:
        if len(known) >= KEPT:
            known.clear()
        read = by_words if _spells_out(loaded) else by_picture
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
        told = [(by_words(loaded, text), by_picture(loaded, text)) for text in _SENTINELS]
        loaded.cache["spells_out"] = all(words == picture for words, picture in told)
    return loaded.cache["spells_out"]


def by_words(loaded: LoadedModel, question: str) -> list[int]:
    """What follows the picture's placeholder in the template's text; nothing looks at a picture."""
    return _behind(loaded, _spelled(loaded, question, True))


def by_picture(loaded: LoadedModel, question: str) -> list[int]:
    return _behind(loaded, prompt_ids(loaded, question, True))


def _behind(loaded: LoadedModel, ids: Sequence[int]) -> list[int]:
    """The ids behind the last placeholder, all where there is none."""
    placeholder = image_token_id(loaded.model)
    last = max((place for place, one in enumerate(ids) if one == placeholder), default=-1)
    return list(ids[last + 1 :])
