"""Answers token by token, each with settings of its own: how long, how random, where to stop.

A batch is read and gone on with by the model's own generate(), so that every family, cache and constraint
(models/verbatim.py) works as it does elsewhere; here stands what differs from row to row. Not here: prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.encode import end_ids

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

COLDEST = 1e-6  # a temperature below it draws nothing but the likeliest token, and scores over it overflow
UNLIKELY = -1e5  # of tokens that were not drawn: finite, so that an answer held word for word is still said


@dataclass(frozen=True)
class Sampling:
    """How one answer is made: at most `max_tokens`; the likeliest token each time at temperature 0, else one
    drawn from the likeliest that make up `top_p`; nothing from the first of `stop` on.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Saying:
    """One answer while it is made. `on_text` receives its text as soon as it is final; `gone` tells whether
    nobody waits for it any more. `trimmed`: without spaces around it, which a text that goes on has.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        sampling: Sampling,
        on_text: Callable[[str], None] = lambda text: None,
        gone: Callable[[], bool] = lambda: False,
        trimmed: bool = True,
    ) -> None:
        self.trimmed = trimmed
        self.loaded, self.sampling, self.on_text, self.gone = loaded, sampling, on_text, gone
        self.ids: list[int] = []
        self.reason = ""  # "stop", "length", "gone" or "failed" once it is at its end
        self.error: Exception | None = None  # why it failed
        self.limit = sampling.max_tokens
        self._ends, self._sent = frozenset(end_ids(loaded)), 0
        self._drawing: torch.Generator | None = None

    def push(self, token: int) -> bool:
        """One more token; whether the answer is at its end."""
        self.ids.append(token)
        ended = token in self._ends
        text, stopped = self._text()
        if self.gone():
            self.reason = "gone"
        elif ended or stopped:
            self.reason = "stop"
        elif len(self.ids) >= self.limit:
            self.reason = "length"
        self._send(text if self.reason else text[: len(text) - self._held_back(text)])
        return bool(self.reason)

    def fail(self, error: Exception) -> None:
        """End it with an error of its own; those beside it go on."""
        self.error, self.reason = error, "failed"

    def say(self, ids: Sequence[int]) -> None:
        """A whole answer that was made elsewhere, as long as it may be."""
        for token in ids[: self.limit]:
            if self.push(token):
                return
        self.reason = self.reason or "length"

    def draw(self, scores: torch.Tensor) -> int | None:
        """A token by its scores [V]; None: the likeliest."""
        if self.sampling.temperature < COLDEST or self.reason:
            return None
        if self._drawing is None:
            self._drawing = torch.Generator()
            if self.sampling.seed is None:
                self._drawing.seed()
            else:
                self._drawing.manual_seed(self.sampling.seed)
        chances = (scores.float().cpu() / self.sampling.temperature).softmax(-1)
        if self.sampling.top_p < 1:
            sorted_, order = chances.sort(descending=True)
            kept = sorted_.cumsum(-1) - sorted_ < self.sampling.top_p
            kept[0] = True
            chances = torch.zeros_like(chances).scatter(-1, order, sorted_ * kept)
        return int(torch.multinomial(chances, 1, generator=self._drawing))

    def _text(self) -> tuple[str, bool]:
        """What has been said, and whether a stop was among it."""
        text = self._trim(self.loaded.tokenizer.decode(self.ids, skip_special_tokens=True))
        places = [place for stop in self.sampling.stop if (place := text.find(stop)) >= 0]
        return (self._trim(text[: min(places)]), True) if places else (text, False)

    def _trim(self, text: str) -> str:
        return text.strip() if self.trimmed else text

    def _held_back(self, text: str) -> int:
        """How many signs at the end are not final yet: half a character, or the beginning of a stop."""
        held = len(text) - len(text.rstrip("\ufffd"))
        for stop in self.sampling.stop:
            for length in range(min(len(stop) - 1, len(text)), held, -1):
                if text.endswith(stop[:length]):
                    held = length
                    break
        return held

    def _send(self, text: str) -> None:
        if len(text) > self._sent:
            new, self._sent = text[self._sent :], len(text)
            self.on_text(new)


def watching(sayings: Sequence[Saying], begun: Callable[[], None]) -> dict:
    """Options of generate() that let each row be made by its own settings and end by itself; `begun` is
    called once the prompts have been read, before the first token is told.
    """
    from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

    class Drawing(LogitsProcessor):
        """Rows that draw their tokens."""

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Scores [B, V] in which what was drawn comes first."""
            drawn: dict[int, int | None] = {}
            for row, one in enumerate(sayings):
                try:
                    drawn[row] = one.draw(scores[row])
                except Exception as error:
                    drawn[row] = one.fail(error)
            if all(token is None for token in drawn.values()):
                return scores
            changed = scores.clone()
            for row, token in drawn.items():
                if token is not None:
                    changed[row] = torch.where(scores[row].isinf(), scores[row], UNLIKELY)
                    changed[row, token] = 0
            return changed

    class Ending(StoppingCriteria):
        """Tells rows what they have said."""

        def __init__(self) -> None:
            self.first = True

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **rest: object) -> torch.Tensor:
            """Whether each row is at its end [B]."""
            if self.first:
                self.first = False
                begun()
            said = input_ids[:, -1].tolist()
            for row, one in enumerate(sayings):
                try:
                    if not one.reason:
                        one.push(said[row])
                except Exception as error:
                    one.fail(error)
            return torch.tensor([bool(one.reason) for one in sayings], device=input_ids.device)

    return {
        "logits_processor": LogitsProcessorList([Drawing()]),
        "stopping_criteria": StoppingCriteriaList([Ending()]),
    }
