"""Batches of requests answered by one model: prompts as memories put them, verdicts, and tokens.

To be used from the one thread that owns the model (worker.py). Not here: which bundles are attached
(bundles.py), and who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.generate import CONFIRMING, generate, room
from okedit_cli.models.decode import greedy
from okedit_cli.models.encode import join_rows
from okedit_cli.models.features import look_of
from okedit_cli.serve.decoding import Sampling, Saying, watching
from okedit_cli.serve.prompt import Completion, Prompt, encode_prompt
from okedit_cli.session.recalling import in_turn, put_questions

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.verdict import Verdict
    from okedit_cli.session import Session


@dataclass
class Ask:
    """One request of a batch, and who is told of it: `begun(verdict, tokens of the prompt)` once it is read,
    `on_text` with each piece, `ended(why, tokens of the answer)`, or `failed` in their place.
    """

    prompt: Prompt
    sampling: Sampling
    begun: Callable[[Verdict | None, int], None]
    on_text: Callable[[str], None]
    ended: Callable[[str, int], None]
    failed: Callable[[Exception], None]
    gone: Callable[[], bool] = lambda: False
    read: bool = False  # whether `begun` was called

    def begin(self, verdict: Verdict | None, tokens: int) -> None:
        """Tell that it is read."""
        self.read = True
        self.begun(verdict, tokens)


@torch.inference_mode()
def answer(loaded: LoadedModel, session: Session | None, asks: Sequence[Ask]) -> None:
    """Answer a batch; `session` is that of the edits that act, None where the base model is asked by itself.

    What is wrong with one request fails that one alone. All have pictures, or none has.
    """
    rows: list[tuple[Ask, Any]] = []
    for ask in asks:
        try:
            rows.append((ask, encode_prompt(loaded, ask.prompt)))
        except Exception as error:
            ask.failed(error)
    if not rows:
        return
    try:
        if session is not None and session.memories:
            _recalled(loaded, session, [ask for ask, _ in rows])
        else:
            _answered(loaded, session, rows, None)
    except Exception as error:  # of the whole batch; those that have ended are not told twice
        for ask, _ in rows:
            if len(rows) > 1 and not ask.read:  # by itself, so that only the one at fault fails
                answer(loaded, session, [ask])
            else:
                ask.failed(error)


def _recalled(loaded: LoadedModel, session: Session, asks: Sequence[Ask]) -> None:
    """Questions as attached text memories put them."""

    def say(prompts: Sequence[str]) -> list[str]:
        found = generate(loaded, [(prompt, None) for prompt in prompts], max_new_tokens=CONFIRMING)
        return [one.text for one in found]

    questions = [(ask.prompt.question, ask.prompt.picture) for ask in asks]
    with session.at_rest():
        looks = [None if picture is None else look_of(loaded, picture) for _, picture in questions]
    routed = session.decide([question.strip() for question, _ in questions], looks)
    put = put_questions(loaded, session, questions, routed, say)

    def part(numbers: list[int], by: Session | None) -> list[None]:
        some = []
        for i in numbers:
            prompt = asks[i].prompt.asking(put[i].question[0]) if put[i].told else asks[i].prompt
            try:
                some.append((i, encode_prompt(loaded, prompt)))
            except Exception as error:  # with its facts a prompt may be too long
                asks[i].failed(error)
        if some:
            rows = [(asks[i], row) for i, row in some]
            _answered(loaded, by, rows, [put[i].verdict for i, _ in some])
        return [None] * len(numbers)

    def spoken(i: int, speaker: Any) -> bool:
        ask = asks[i]
        try:
            saying = _saying(loaded, ask)
            ask.begin(put[i].verdict, sum(map(len, speaker.read)))
            saying.say(speaker.answer(ask.sampling.max_tokens))
            ask.ended(saying.reason, len(saying.ids))
        except Exception as error:
            ask.failed(error)
        return True

    in_turn(session, put, part, spoken)


def _answered(
    loaded: LoadedModel,
    session: Session | None,
    rows: Sequence[tuple[Ask, Any]],
    verdicts: Sequence[Verdict | None] | None,
) -> None:
    """Answer prompts as they are; `verdicts` where they are known already."""
    asks = [ask for ask, _ in rows]
    inputs = join_rows(loaded, [row for _, row in rows])
    lengths = inputs["attention_mask"].sum(1).tolist()
    sayings = [_saying(loaded, ask) for ask in asks]
    for one in sayings:
        one.limit = room(loaded, inputs["input_ids"].shape[1], one.sampling.max_tokens)
    if session is not None:
        _tell(loaded, session, asks, lengths)

    def begun() -> None:
        found = verdicts or (session.call.verdicts if session is not None else [None] * len(asks))
        for ask, verdict, length in zip(asks, found, lengths, strict=True):
            ask.begin(verdict, length)

    try:
        greedy(loaded, inputs, max(one.limit for one in sayings), **watching(sayings, begun))
    finally:
        if session is not None:
            session.call.prompt_lengths = session.call.pictures = session.call.asked = None
    for ask, one in zip(asks, sayings, strict=True):
        if one.error is not None:
            ask.failed(one.error)
            continue
        ask.ended(one.reason or "length", len(one.ids))


def _saying(loaded: LoadedModel, ask: Ask) -> Saying:
    trimmed = not isinstance(ask.prompt, Completion)
    return Saying(loaded, ask.sampling, ask.on_text, ask.gone, trimmed)


def _tell(loaded: LoadedModel, session: Session, asks: Sequence[Ask], lengths: Sequence[int]) -> None:
    """Let the session know what is known here: where prompts end, their pictures, and of conversations the
    last question with its pictures.
    """
    session.call.prompt_lengths = lengths
    session.call.pictures = [ask.prompt.picture for ask in asks]
    with session.at_rest():
        session.call.asked = [
            None
            if ask.prompt.single
            else (ask.prompt.question.strip(), [look_of(loaded, one) for one in ask.prompt.latest])
            for ask in asks
        ]
