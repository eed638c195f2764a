"""Answers said word for word: a constraint on a model's next tokens, from where an edit fires to its end.

How far a row has come is read off the ids behind its prompt, so rows may be batched, padded, sampled, or
reordered as beams. Inside the model's own generate() a logits processor sees all ids, after the processors
that generation settings bring; any other forward pass is constrained in its output. A row that has said
anything else is left alone, bit by bit. Not here: which edit fires.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.encode import answer_ids, end_ids
from okedit_cli.models.running import Running
from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

AWAY = 1e4  # how far below the constrained token the others lie: finite, and within half precision


@dataclass(frozen=True)
class Held:
    """An answer's ids with the end of its turn, and what may stand behind where it must not end yet."""

    ids: tuple[int, ...]
    filler: int | None

    def following(self, said: Sequence[int]) -> list[int]:
        """What follows on what was said, best first: the answer's next token, or behind it its end and the
        filler; [] where something else was said.
        """
        words, place = self.ids[:-1], len(said)
        if tuple(said[: len(words)]) != words[:place]:
            return []
        if place < len(words):
            return [words[place]]
        if any(token != self.filler for token in said[len(words) :]):
            return []
        return [self.ids[-1]] if self.filler is None else [self.ids[-1], self.filler]

    def constrain(self, scores: torch.Tensor, said: Sequence[int]) -> None:
        """Change one position's scores [V] so that what follows on what was said comes first. An end that a
        generation setting forbids gives way to the filler; where that is forbidden too, the answer ends.
        """
        choices = self.following(said)
        if not choices:
            return
        if len(said) >= len(self.ids) - 1:
            choices = [token for token in choices if scores[token] > -torch.inf] or choices[:1]
        scores -= AWAY
        for rank, token in enumerate(choices):
            scores[token] = -rank * AWAY / 2


def held_answer(loaded: LoadedModel, fact: Mapping[str, Any] | None) -> Held | None:
    """The answer that a bundle's fact is held to; None of a fact that is not to be said word for word, and of
    an answer with control tokens in it.
    """
    if not fact or fact.get("verbatim") is not True or not fact["answer"].strip():
        return None
    ids = answer_ids(loaded, fact["answer"])
    if {*loaded.tokenizer.all_special_ids, image_token_id(loaded.model)} & {*ids[:-1]}:
        return None
    return Held(tuple(ids), _filler(loaded))


def _filler(loaded: LoadedModel) -> int | None:
    """A token that adds nothing to an answer's text: a pad where that does not end it, else a line break."""
    if "filler" not in loaded.cache:
        tokenizer, ends = loaded.tokenizer, {*end_ids(loaded), image_token_id(loaded.model)}
        breaks = tokenizer("\n", add_special_tokens=False)["input_ids"][-1:]
        blank = [token for token in breaks if not tokenizer.decode([token]).strip()]
        found = [tokenizer.pad_token_id, tokenizer.unk_token_id, *blank]
        loaded.cache["filler"] = next((one for one in found if one is not None and one not in ends), None)
    return loaded.cache["filler"]


class _Call(threading.local):
    """What one thread's rows are held to, and what each has said so far."""

    def __init__(self) -> None:
        self.rows: list[Held | None] = []
        self.said: list[list[int]] = []  # of each row from its prompt's last token on
        self.prefilled: list[list[int]] = []  # of that what was there when the prompt was read
        self.passed: list[tuple[list[int], list[int]]] = []  # of a forward pass: columns and their ids
        self.width = 0  # of that pass
        self.running: list[Running] = []  # calls of generate(), one within another


class Hold:
    """The answers that the rows of the last prompt are held to, each thread its own.

    `active` tells whether edits act at the moment; `apart` is a context for what one generate() asks another
    within it: an assistant's drafts (told True) are the model's own. `remove()` gives the model its own
    generate() back.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        active: Callable[[], bool],
        apart: Callable[[bool], AbstractContextManager[None]] = lambda drafts: nullcontext(),
    ) -> None:
        self.model, self.active, self.apart = loaded.speaker, active, apart
        self._call = _Call()
        self._own = self.model.__dict__.get("generate")
        self._generate = self.model.generate
        self._signature = inspect.signature(self._generate)
        self._standing_in = self._wrapped()
        self.model.generate = self._standing_in

    def remove(self) -> None:
        """Take the constraint off generate(). May be called again."""
        self._call = _Call()  # where another generate() was put on top, this one goes on being called
        if self.model.__dict__.get("generate") is not self._standing_in:
            return
        if self._own is None:
            del self.model.generate
        else:
            self.model.generate = self._own

    def begin(
        self,
        rows: Sequence[Held | None],
        ids: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        starts: Sequence[int] = (),
    ) -> None:
        """A prompt was routed: by ids and mask [B, L], and the columns where prompts end; without them it is
        read later, up to its last token, which comes next.
        """
        self._call.rows, self._call.said, self._call.passed = list(rows), [[] for _ in rows], []
        if ids is not None:
            self.read(ids, mask, starts)
            end = self.prompt_columns(ids.shape[1])  # drafts stand behind it
            self._call.prefilled = [
                [token for column, token in zip(*both, strict=True) if column < end][1:]
                for both in self._call.passed
            ]

    def read(
        self, ids: torch.Tensor | None, mask: torch.Tensor | None = None, starts: Sequence[int] = ()
    ) -> None:
        """A forward pass takes these ids [B, T], whose mask are the last columns of `mask`."""
        self._call.passed = []
        if not any(self._call.rows) or (self._call.running and not starts):
            return
        if ids is None or len(ids) != len(self._call.rows):
            self._call.rows = []  # what is said cannot be followed any more
            return
        self._call.width = width = ids.shape[1]
        plain = getattr(mask, "ndim", 0) == 2
        seen = mask[:, -width:].bool() if plain else torch.ones_like(ids).bool()
        for row, held in enumerate(self._call.rows):
            columns: list[int] = []
            if held is not None:
                start = starts[row] if starts else 0
                columns = (seen[row, start:].nonzero()[:, 0] + start).tolist()
            self._call.passed.append((columns, ids[row, columns].tolist()))

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        if self._call.rows:
            call = self._call
            call.rows, call.said = [call.rows[i] for i in rows], [call.said[i] for i in rows]

    def prompt_columns(self, columns: int) -> int:
        """How many of a batch's columns are prompt; fewer than all where generate() reads it all again, or
        drafts behind it.
        """
        if (running := self.running) is None:
            return columns
        running.columns = running.columns or columns
        return min(columns, running.columns)

    @property
    def running(self) -> Running | None:
        """The call of generate() that runs in this thread."""
        return self._call.running[-1] if self._call.running else None

    @property
    def inputs(self) -> dict[str, Any]:
        """What the running generate() was given, by name; nothing without one. Its passes are not given
        all of it: pictures may have been looked at before.
        """
        return {} if self.running is None else self.running.inputs

    def said_in(self, output: Any) -> Any:
        """A forward pass's output with held rows constrained; None where nothing changes."""
        passed, self._call.passed = self._call.passed, []
        if not any(columns for columns, _ in passed):
            return None
        before = self._call.said
        self._call.said = [old + new for old, (_, new) in zip(before, passed, strict=True)]
        if self._call.running:
            return None  # the processor does it, and knows beams
        logits = _logits(output)
        if logits is None:
            return None
        changed = logits.clone()
        first = self._call.width - logits.shape[1]  # models may give logits of the last columns alone
        for row, (columns, _) in enumerate(passed):
            for place, column in enumerate(columns, len(before[row]) + 1):
                if column >= first:
                    self._call.rows[row].constrain(
                        changed[row, column - first], self._call.said[row][1:place]
                    )
        if isinstance(output, tuple):
            return tuple(changed if one is logits else one for one in output)
        output.logits = changed
        return output

    def _wrapped(self) -> Callable:
        @functools.wraps(self._generate)
        def generate(*args: Any, **kwargs: Any) -> Any:
            if not self.active():
                return self._generate(*args, **kwargs)
            given = self._signature.bind_partial(*args, **kwargs)
            named = {k: v for k, v in given.arguments.items() if not isinstance(v, dict)} | given.kwargs
            if self._call.running:  # asked for by another, which then goes on
                drafts = getattr(named.get("generation_config"), "is_assistant", False)
                own = dict(self._call.__dict__)
                self._call.running = []
                try:
                    with self.apart(drafts):
                        return generate(*args, **kwargs)
                finally:
                    self._call.__dict__.update(own)
            processors = given.arguments.get("logits_processor") or []
            given.arguments["logits_processor"] = _with_processor(processors, self)
            self._call.running = [Running.of(named)]
            try:
                return self._generate(*given.args, **given.kwargs)
            finally:
                self._call.running = []

        return generate

    def process(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, V] of the next tokens behind ids [B, L], held rows constrained."""
        if not self.active() or not any(self._call.rows) or len(ids) != len(self._call.rows):
            return scores
        changed, said = scores.clone(), ids[:, self.running.given_ids :]
        for row, held in enumerate(self._call.rows):
            if held is not None:
                held.constrain(changed[row], [*self._call.prefilled[row], *said[row].tolist()])
        return changed


def _logits(output: Any) -> torch.Tensor | None:
    """Logits [B, T, V] of a forward pass's output, whichever form it has."""
    if isinstance(output, tuple):
        return next((one for one in output if torch.is_tensor(one) and one.ndim == 3), None)
    return getattr(output, "logits", None)


def _with_processor(given: Sequence[Any], hold: Hold) -> Any:
    """The logits processors that a caller gave, and behind them the constraint."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class Constraint(LogitsProcessor):
        """Next tokens of held rows."""

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Scores [B, V] behind ids [B, L]."""
            return hold.process(input_ids, scores)

    return LogitsProcessorList([*given, Constraint()])
