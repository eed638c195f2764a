"""What editors of weights are trained on: rows of cases in stored states, drawn for a step, and the losses.

The losses of VLKEB: the new answer's NLL to the question reworded and to another picture, and the divergence
from the base model on what is to stay, in words and on pictures, over the tokens of its answers.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from okedit_cli.facts.pictures import load_picture
from okedit_cli.methods.trained.cases import Case, Question
from okedit_cli.methods.trained.loop import Training
from okedit_cli.methods.trained.upper import Batch, Row, Upper

if TYPE_CHECKING:
    from PIL.Image import Image

Factors = tuple[torch.Tensor, torch.Tensor]  # u [T, in], delta [T, out]

TOGETHER = 32  # questions that are read as one batch
WORDINGS, VIEWS, KEPT = 4, 4, 3  # of a case that are drawn from: each is read once, below the edited layers


@dataclass(frozen=True)
class Draws:
    """Cases of a step with, for each, a reworded question, another picture and what is to stay, as drawn."""

    cases: Sequence[Case]
    asked: Sequence[tuple[int, str, Question]]  # number of the case, "text", "image" or "keep"

    @classmethod
    def of(cls, cases: Sequence[Case], chance: random.Random) -> Draws:
        """Draw a question of each kind that a case has; without rewordings its own question."""
        asked = []
        for number, case in enumerate(cases):
            answer = case.edit.answer
            prompt = chance.choice([case.edit.prompt, *case.rephrases[:WORDINGS]][-max(1, WORDINGS) :])
            asked.append((number, "text", Question(prompt, case.edit.picture, answer)))
            if case.views:
                view = chance.choice(case.views[:: max(1, len(case.views) // VIEWS)][:VIEWS])
                asked.append((number, "image", Question(case.edit.prompt, view, answer)))
            for kept in (case.kept_words, case.kept_pictures):
                if kept:
                    asked.append((number, "keep", chance.choice(kept[:: max(1, len(kept) // KEPT)][:KEPT])))
        return cls(cases, asked)


@dataclass(frozen=True, eq=False)
class Rows:
    """A step's rows as one batch: edit [B], which case's edit each has; kind of each; `said` [N, d]: from
    what the base model says the answers' tokens.
    """

    batch: Batch
    edit: torch.Tensor
    kinds: tuple[str, ...]
    said: torch.Tensor


class Pool:
    """Cases as they enter the upper layers, each question read when it is first drawn, and then kept."""

    def __init__(self, upper: Upper, cases: Sequence[Case], fast: bool = True) -> None:
        self.upper, self.cases, self.fast = upper, list(cases), fast
        self._rows: dict[Question, tuple[Row, torch.Tensor]] = {}
        self._factors: dict[Question, dict] = {}

    def rows(self, draws: Draws) -> Rows:
        """The rows of what was drawn."""
        self._read([question for _, _, question in draws.asked])
        found = [self._rows[question] for _, _, question in draws.asked]
        device = found[0][0].states.device
        edit = torch.tensor([number for number, _, _ in draws.asked], device=device)
        kinds = tuple(kind for _, kind, _ in draws.asked)
        batch = self.upper.batch([row for row, _ in found])
        return Rows(batch, edit, kinds, torch.cat([said for _, said in found]))

    def factors(self, cases: Sequence[Case]) -> list[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
        """The factors of each edit's gradient."""
        self._read([case.edit for case in cases])
        new = [one for one in dict.fromkeys(case.edit for case in cases) if one not in self._factors]
        if new:
            found = self.upper.factors([self._rows[one][0] for one in new], self.fast)
            for one, factors in zip(new, found, strict=True):
                self._factors[one] = {n: (u.bfloat16(), d.bfloat16()) for n, (u, d) in factors.items()}
        return [
            {n: (u.float(), d.float()) for n, (u, d) in self._factors[case.edit].items()} for case in cases
        ]

    @torch.no_grad()
    def _read(self, questions: Sequence[Question]) -> None:
        """Read what has not been drawn before, those with and without a picture apart."""
        new = [one for one in dict.fromkeys(questions) if one not in self._rows]
        for pictured in (True, False):
            part = [one for one in new if (one.picture is not None) == pictured]
            for start in range(0, len(part), TOGETHER):
                some = part[start : start + TOGETHER]
                rows = self.upper.read([(one.prompt, _picture(one), one.answer) for one in some], self.fast)
                batch = self.upper.batch(rows)
                with self.upper.precision(self.fast):
                    said = self.upper.run(batch).float().split(batch.counts.tolist())
                for one, row, states in zip(some, rows, said, strict=True):
                    self._rows[one] = row, states.clone()


class EditorTraining(Training):
    """A training in steps of a few edits and questions; what it overrides is `losses_of`."""

    settings: Any  # with `batch`: edits of a step
    pool: Pool

    def drawn(self, chance: random.Random) -> Draws:
        """The edits and questions of one step."""
        count = min(self.settings.batch, len(self.pool.cases))
        return Draws.of(chance.sample(self.pool.cases, count), chance)

    @torch.no_grad()
    def losses(self, cases: Sequence[Case]) -> dict[str, float]:
        """Mean losses of cases that are not trained on; "keep": the divergence on what is to stay."""
        chance, size = random.Random(0), self.settings.batch
        found = [
            self.losses_of(Draws.of(cases[start : start + size], chance))
            for start in range(0, len(cases), size)
        ]
        return {
            name: float(sum(one[name] for one in found)) / len(found) for name in (found[0] if found else ())
        }

    @abstractmethod
    def losses_of(self, draws: Draws) -> dict[str, torch.Tensor]:
        """Losses of the edited model on what was drawn, by name."""


def editing_losses(
    upper: Upper, rows: Rows, add: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Means over a step's edits of the losses "text", "image" and "keep" with `add` on the maps' outputs."""
    logits = upper.say(upper.run(rows.batch, add))
    nll = rows.batch.mean(F.cross_entropy(logits, rows.batch.targets, reduction="none"))
    keep = torch.tensor([kind == "keep" for kind in rows.kinds], device=nll.device)
    tokens = keep[rows.batch.row]
    kl = torch.zeros_like(rows.batch.mean(logits[:, 0].detach()))
    if bool(tokens.any()):
        with torch.no_grad():
            base = upper.say(rows.said[tokens]).log_softmax(-1)
        part = F.kl_div(logits[tokens].log_softmax(-1), base, reduction="none", log_target=True).sum(-1)
        kl = rows.batch.mean(torch.zeros_like(logits[:, 0]).index_put((tokens.nonzero()[:, 0],), part))
    out = {}
    for kind in ("text", "image"):
        mine = torch.tensor([one == kind for one in rows.kinds], device=nll.device)
        out[kind] = nll[mine].sum() / max(1, int(mine.sum()))
    edits = int(rows.edit.max()) + 1
    return out | {"keep": kl[keep].sum() / edits}  # words and pictures of an edit are added, as published


def added(factors: Sequence[Factors], edit: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the changes of several edits add to a map's output; edit [B]: which of them a row has."""
    down, up = (
        nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in zip(*factors, strict=True)
    )
    down, up = down[edit], up[edit]

    def add(x: torch.Tensor) -> torch.Tensor:
        return (x.to(down.dtype) @ down.mT) @ up

    return add


def _picture(question: Question) -> Image | None:
    return None if question.picture is None else load_picture(question.picture)
