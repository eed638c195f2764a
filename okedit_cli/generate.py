"""A model, edited or not, and questions: answers, each with the verdict that was reached for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.errors import UsageError
from okedit_cli.models.batches import in_turns
from okedit_cli.models.decode import go_on, greedy
from okedit_cli.models.encode import encode, end_ids
from okedit_cli.models.features import look_of
from okedit_cli.models.kv import taking
from okedit_cli.models.prefixes import together
from okedit_cli.models.question import question_text
from okedit_cli.models.reading import Prompts, read, shares
from okedit_cli.models.sites import text_config
from okedit_cli.scope.verdict import Verdict
from okedit_cli.session.recalling import Put, in_turn, put_questions

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

BATCH = 16
CONFIRMING = 50  # tokens in which a model says which fact bears on a question (SCR)


@dataclass(frozen=True)
class Answer:
    """What the model said, and the verdict of the attached bundles (None when nothing is attached).

    `ids` are the text's tokens as generated, the end among them when it was reached. `cut`: it was not, the
    limit came first.
    """

    text: str
    verdict: Verdict | None = None
    ids: tuple[int, ...] = ()
    cut: bool = False


@torch.inference_mode()
def generate(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    *,
    max_new_tokens: int | Sequence[int] = 48,
    batch: int = BATCH,
    on_text: Callable[[str], None] | None = None,
    on_answer: Callable[[int], None] | None = None,
    at_once: bool = False,
) -> list[Answer]:
    """Greedy answers in the order asked; `max_new_tokens` may differ from question to question. `on_text`
    receives the text of a single question as it is made, `on_answer` each question's number once it is
    answered. `at_once`: pictures are read together, and so other than one by one by rounding.

    UsageError: a question that cannot be written as UTF-8, which no tokenizer reads.
    """
    for prompt, _ in questions:
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"The question {prompt!r} holds a lone surrogate, expected text that UTF-8 can write.",
                hint="Decode its bytes as what they are, or with errors='replace'.",
            ) from None

    limits = [max_new_tokens] * len(questions) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    rows = [(*question, limit) for question, limit in zip(questions, limits, strict=True)]

    def part(some: Sequence) -> list[Answer]:
        pictures = [row[1] for row in some if row[1] is not None]
        shared = at_once and len(some) > 1 and pictures and shares(loaded)
        with together(loaded, pictures, keep=True) if shared else nullcontext():
            return _generate(loaded, [row[:2] for row in some], [row[2] for row in some], on_text)

    def done(numbers: Sequence[int]) -> None:
        for number in numbers if on_answer else ():
            on_answer(number)

    return in_turns(loaded, rows, batch, max(limits, default=0), part, done)


@torch.inference_mode()
def follow(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    answers: Sequence[Sequence[int]],
    *,
    batch: int = BATCH,
) -> list[list[int]]:
    """Teacher forcing: the likeliest id before each id of the answers, in the order asked."""

    def part(rows: Sequence) -> list[list[int]]:
        asked, ids = [row[:2] for row in rows], [row[2] for row in rows]
        return [scores.argmax(-1).tolist() for scores in _follow(loaded, asked, ids)]

    rows = [(*one, ids) for one, ids in zip(questions, answers, strict=True)]
    return in_turns(loaded, rows, batch, max(map(len, answers), default=0), part)


@torch.inference_mode()
def scores(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    answers: Sequence[Sequence[int]],
    *,
    batch: int = BATCH,
) -> list[torch.Tensor]:
    """Teacher forcing: the logits [T, V] before each id of the answers, in the order asked."""

    def part(rows: Sequence) -> list[torch.Tensor]:
        return _follow(loaded, [row[:2] for row in rows], [row[2] for row in rows])

    rows = [(*one, ids) for one, ids in zip(questions, answers, strict=True)]
    return in_turns(loaded, rows, batch, max(map(len, answers), default=0), part)


def _follow(loaded: LoadedModel, questions, answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Logits [T, V] before each id of the answers."""
    session = _at_work(loaded)
    if session is None or not session.memories:
        return _followed(loaded, session, questions, answers)
    recalled = _recalled(loaded, session, questions)

    def part(numbers, by):
        return _followed(loaded, by, [recalled[i].question for i in numbers], [answers[i] for i in numbers])

    return in_turn(session, recalled, part, lambda i, speaker: speaker.scores(answers[i]))


def _followed(loaded: LoadedModel, session, questions, answers) -> list[torch.Tensor]:
    if shares(loaded):
        prompts = _read(loaded, session, questions)
        inputs, _ = prompts.inputs(answers)
        logits = loaded.forward(**inputs, **taking(loaded.speaker, prompts.cache)).logits
        return [row[: len(one)] for row, one in zip(logits, answers, strict=True)]
    inputs = encode(loaded, questions, answers=answers)
    if session:  # where a prompt ends is known here, so nobody needs to find it by the template
        seen = inputs["attention_mask"].sum(1).tolist()
        session.call.prompt_lengths = [n - len(one) for n, one in zip(seen, answers, strict=True)]
    try:
        logits = loaded.forward(**inputs).logits
    finally:
        if session:
            session.call.prompt_lengths = None
    # rows are padded on the left: the answer stands at the end, each token told by the one before
    return [logits[row, -len(one) - 1 : -1] for row, one in enumerate(answers)]


def decide(loaded: LoadedModel, questions: Sequence[tuple[str, Image | None]]) -> list[Verdict]:
    """What the attached bundles decide for each question, without an answer; of weight deltas nothing is
    decided. UsageError where nothing is attached.
    """
    session = _at_work(loaded)
    if session is None:
        raise UsageError("Nothing is attached that could decide.", hint="Attach a bundle first.")
    if session.memories:
        return [one.verdict for one in _recalled(loaded, session, questions)]
    return _routed(loaded, session, questions)


def _generate(loaded: LoadedModel, questions, limits: Sequence[int], on_text) -> list[Answer]:
    session = _at_work(loaded)
    if session and session.memories:
        recalled = _recalled(loaded, session, questions)

        def part(numbers, by):
            asked = [recalled[i].question for i in numbers]
            return _answered(loaded, by, asked, [limits[i] for i in numbers], on_text)[0]

        def spoken(i, speaker):
            return speaker.answer(limits[i], on_text if len(questions) == 1 else None)

        out, verdicts = in_turn(session, recalled, part, spoken), [one.verdict for one in recalled]
        session.call.verdicts = verdicts
    else:
        out, verdicts = _answered(loaded, session, questions, limits, on_text)
    texts = loaded.tokenizer.batch_decode(out, skip_special_tokens=True)
    ends, answers = end_ids(loaded), []
    for text, verdict, row in zip(texts, verdicts, out, strict=True):
        ids = tuple(map(int, row))
        answers.append(Answer(text.strip(), verdict, ids, cut=ids[-1] not in ends))
    return answers


def _answered(loaded: LoadedModel, session, questions, limits: Sequence[int], on_text):
    """Ids and verdicts of questions as they are."""
    if len(questions) > 1 and shares(loaded):
        return _together(loaded, session, questions, limits)
    streamer = _streamer(loaded, on_text) if on_text and len(questions) == 1 else None
    return _whole(loaded, session, questions, limits, streamer)


def _routed(loaded: LoadedModel, session, questions) -> list[Verdict]:
    """The router's verdicts."""
    with session.at_rest():
        looks = [None if picture is None else look_of(loaded, picture) for _, picture in questions]
    return session.decide([prompt.strip() for prompt, _ in questions], looks)


def _at_work(loaded: LoadedModel):
    """The session whose edits act now; None where nothing is attached, or it stands aside."""
    return loaded.session if loaded.session is not None and loaded.session.active else None


def _recalled(loaded: LoadedModel, session, questions) -> list[Put]:
    """Questions as text memories put them; the base model confirms, where one asks it."""

    def say(prompts: Sequence[str]) -> list[str]:
        asked = [(prompt, None) for prompt in prompts]
        return [one.text for one in generate(loaded, asked, max_new_tokens=CONFIRMING)]

    return put_questions(loaded, session, questions, _routed(loaded, session, questions), say)


def _read(loaded: LoadedModel, session, questions) -> Prompts:
    """Prompts but for their last tokens, decided: edits act from the last token on."""
    if session is None:
        return read(loaded, questions)

    def noting(asked, prefixes) -> list[str]:
        session.decide([question_text(loaded, ids) for ids in asked], [prefix.seen for prefix in prefixes])
        return session.gate.notes()

    with session.at_rest():
        return read(loaded, questions, noting)


def _together(loaded: LoadedModel, session, questions, limits: Sequence[int]):
    """Ids and verdicts of questions whose common beginnings are read once."""
    prompts = _read(loaded, session, questions)
    limits = [room(loaded, prompts.mask.shape[1] + 1, limit) for limit in limits]
    if session is None:
        return go_on(loaded, prompts, limits, once=True), [None] * len(questions)
    verdicts = list(session.call.verdicts)
    out = go_on(loaded, prompts, limits, keep=session.gate.keep, once=True)
    session.call.verdicts = verdicts
    return out, verdicts


def _whole(loaded: LoadedModel, session, questions, limits: Sequence[int], streamer):
    """Ids and verdicts of questions read as the model's own generate() reads them."""
    inputs = encode(loaded, questions)
    limits = [room(loaded, inputs["input_ids"].shape[1], limit) for limit in limits]
    if session:  # known here, whether there is a template that tells it or not
        session.call.prompt_lengths = inputs["attention_mask"].sum(1).tolist()
        session.call.pictures = [picture for _, picture in questions]
    try:
        out = greedy(loaded, inputs, max(limits), streamer=streamer)
    finally:
        if session:
            session.call.prompt_lengths = session.call.pictures = None
    out = [row[:limit] for row, limit in zip(out, limits, strict=True)]
    return out, list(session.call.verdicts) if session else [None] * len(questions)


def room(loaded: LoadedModel, prompt: int, wanted: int) -> int:
    """How many of the tokens wanted a model has positions for behind a prompt; the last is read by nobody."""
    longest = getattr(text_config(loaded.model), "max_position_embeddings", None)
    return max(1, min(wanted, longest + 1 - prompt)) if longest else wanted


def _streamer(loaded: LoadedModel, on_text: Callable[[str], None]):
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        """Hands text on as soon as it is final."""

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            """One more piece of the answer."""
            on_text(text)

    return Streamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
