"""A model, edited or not, and questions: answers, each with the decision that was taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.attach import Decision
from okedit_cli.models.decode import go_on, greedy
from okedit_cli.models.encode import encode
from okedit_cli.models.features import picture_features
from okedit_cli.models.prefixes import read, shares
from okedit_cli.models.question import question_ids

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

BATCH = 16


@dataclass(frozen=True)
class Answer:
    """What the model said, and the decision of the attached bundles (None when nothing is attached)."""

    text: str
    decision: Decision | None = None


@torch.inference_mode()
def generate(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    *,
    max_new_tokens: int = 48,
    batch: int = BATCH,
    on_text: Callable[[str], None] | None = None,
) -> list[Answer]:
    """Greedy answers in the order asked. `on_text` receives the text of a single question as it is made."""
    answers: list[Answer | None] = [None] * len(questions)
    # rows with and without a picture are read apart: not every family takes both at once
    for pictured in (True, False):
        numbers = [i for i, (_, picture) in enumerate(questions) if (picture is not None) == pictured]
        for start in range(0, len(numbers), batch):
            part = numbers[start : start + batch]
            for i, answer in zip(
                part, _generate(loaded, [questions[i] for i in part], max_new_tokens, on_text), strict=True
            ):
                answers[i] = answer
    return answers


def decide(loaded: LoadedModel, questions: Sequence[tuple[str, Image | None]]) -> list[Decision]:
    """What the attached bundles decide for each question, without an answer."""
    attachment = loaded.cache["attachment"]
    with attachment.aside():
        ids = [question_ids(loaded, prompt) for prompt, _ in questions]
        seen = [None if p is None else picture_features(loaded, [p])[0] for _, p in questions]
    attachment.decide(ids, seen)
    return list(attachment.decisions)


def _generate(loaded: LoadedModel, questions, max_new_tokens: int, on_text) -> list[Answer]:
    if len(questions) > 1 and shares(loaded):
        out, decisions = _together(loaded, questions, max_new_tokens)
    else:
        streamer = _streamer(loaded, on_text) if on_text and len(questions) == 1 else None
        out, decisions = _whole(loaded, questions, max_new_tokens, streamer)
    texts = loaded.tokenizer.batch_decode(out, skip_special_tokens=True)
    return [Answer(text.strip(), decision) for text, decision in zip(texts, decisions, strict=True)]


def _together(loaded: LoadedModel, questions, max_new_tokens: int):
    """Ids and decisions of questions whose common beginnings are read once."""
    attachment = loaded.cache.get("attachment")
    if attachment is None or attachment.resting:
        return go_on(loaded, read(loaded, questions), max_new_tokens), [None] * len(questions)
    with attachment.aside():
        prompts = read(loaded, questions)
    attachment.decide(prompts.questions, prompts.pictures)
    decisions = list(attachment.decisions)
    out = go_on(loaded, prompts, max_new_tokens, keep=attachment.keep)
    attachment.decisions = decisions
    return out, decisions


def _whole(loaded: LoadedModel, questions, max_new_tokens: int, streamer):
    """Ids and decisions of questions read as the model's own generate() reads them."""
    inputs = encode(loaded, questions)
    attachment = loaded.cache.get("attachment")
    attachment = None if attachment is None or attachment.resting else attachment
    if attachment:  # known here, whether there is a template that tells it or not
        attachment.prompt_lengths = inputs["attention_mask"].sum(1).tolist()
    try:
        out = greedy(loaded, inputs, max_new_tokens, streamer=streamer)
    finally:
        if attachment:
            attachment.prompt_lengths = None
    return out, attachment.decisions if attachment else [None] * len(questions)


def _streamer(loaded: LoadedModel, on_text: Callable[[str], None]):
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        """Hands text on as soon as it is final."""

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            """One more piece of the answer."""
            on_text(text)

    return Streamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
