"""Questions as attached text memories put them before they are read, and who then answers which of them.

What a codebook answers is left to it. A question that a fact was put into is read by the model by itself,
with the weights that deltas have changed, since the router knows questions as they were asked; the others go
on to it as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.counterfactual import Speaker
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.features import look_of
from okedit_cli.session.model import Session
from okedit_cli.session.said import joined

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.verdict import Verdict

BATCH = 16
KEPT = 20_000  # odds that are remembered


@dataclass(frozen=True)
class Put:
    """A question as it is put to the model, the verdict over all that is attached, and whether a memory
    answers it: with a fact in the prompt, or by a small model of its own.
    """

    question: tuple[str, Image | None]
    verdict: Verdict
    told: bool = False
    speaker: Speaker | None = None  # who answers in the model's place


def put_questions(
    loaded: LoadedModel,
    session: Session,
    questions: Sequence[tuple[str, Image | None]],
    routed: Sequence[Verdict],
    say: Callable[[Sequence[str]], list[str]],
) -> list[Put]:
    """Questions, of which `routed` holds the router's verdicts, as the attached memories put them; `say`
    generates the model's answers to prompts in words alone.
    """
    out = [Put(*one) for one in zip(questions, routed, strict=True)]
    free = [i for i, verdict in enumerate(routed) if verdict.hit is None]
    with session.aside():  # keys were made with the base model, and it confirms
        looks = [None if questions[i][1] is None else look_of(loaded, questions[i][1]) for i in free]
        asked = [questions[i][0].strip() for i in free]
        recalled = session.recalled(asked, looks, BaseModel(loaded, say))
    for i, (prompt, verdict) in zip(free, recalled, strict=True):
        told = verdict.hit is not None
        question = (prompt, questions[i][1]) if told else questions[i]
        out[i] = Put(question, joined(verdict, routed[i]), told, _speaker(loaded, session, verdict, prompt))
    return out


def _speaker(loaded: LoadedModel, session: Session, verdict: Verdict, question: str) -> Speaker | None:
    """Who answers a question that a counterfactual memory holds in scope."""
    bundle = verdict.hit and session.bundles[verdict.hit.number]
    if bundle is None or bundle.edits.kind != "counterfactual":
        return None
    return Speaker(loaded, bundle.edits, bundle.manifest.facts[verdict.hit.row], question)


def in_turn(
    session: Session,
    recalled: Sequence[Put],
    part: Callable[[list[int], Any], Sequence],
    spoken: Callable[[int, Speaker], Any],
) -> list:
    """What `part` gives for all questions, told the numbers of some and the session that acts on them, if
    any, but for those that a small model answers: what `spoken` gives, told the number and the speaker.
    """
    out = [one.speaker and spoken(i, one.speaker) for i, one in enumerate(recalled)]
    for told in (True, False):
        numbers = [i for i, one in enumerate(recalled) if one.told == told and one.speaker is None]
        if not numbers:
            continue
        with session.at_rest() if told else session.prompting:
            found = part(numbers, None if told else session)
        for i, one in zip(numbers, found, strict=True):
            out[i] = one
    return out


class BaseModel:
    """The base model as memories ask it (edits/memory.py)."""

    def __init__(self, loaded: LoadedModel, say: Callable[[Sequence[str]], list[str]]) -> None:
        self.loaded, self.say = loaded, say

    @torch.no_grad()
    def odds(self, prompts: Sequence[str], answer: str, other: str) -> list[float]:
        """log p(answer) - log p(other) behind each prompt, at the first token that they do not share. What
        has been asked is kept.
        """
        known: dict = self.loaded.cache.setdefault("odds", {})
        if len(known) > KEPT:
            known.clear()
        new = [one for one in dict.fromkeys(prompts) if (one, answer, other) not in known]
        for prompt, found in zip(new, self._odds(new, answer, other), strict=True):
            known[prompt, answer, other] = found
        return [known[prompt, answer, other] for prompt in prompts]

    def _odds(self, prompts: Sequence[str], answer: str, other: str) -> list[float]:
        ids = [answer_ids(self.loaded, one) for one in (answer, other)]
        pairs = enumerate(zip(*ids, strict=False))
        shared = next((n for n, (one, another) in pairs if one != another), 0)
        out: list[float] = []
        for start in range(0, len(prompts), BATCH):
            asked = [(prompt, None) for prompt in prompts[start : start + BATCH]]
            inputs = encode(self.loaded, asked, answers=[ids[0][: shared + 1]] * len(asked))
            chances = self.loaded.forward(**inputs).logits[:, -2].float().log_softmax(-1)
            out += (chances[:, ids[0][shared]] - chances[:, ids[1][shared]]).tolist()
        return out
