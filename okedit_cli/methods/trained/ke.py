"""KE, KnowledgeEditor: a hypernetwork that gates a fact's gradient, conditioned on the fact.

After De Cao et al. (EMNLP 2021, arXiv 2104.08164), with the weights and pictures of VLKEB's KE. A
bidirectional LSTM reads `old >> new || prompt` in the base model's frozen embeddings; of each edited weight
a small network makes of its state two rows, two columns and a number: the change is sigmoid(number) times
(gradient * softmax(row) column^T + softmax(row') column'^T). Loss: NLL of the new answer to the question
reworded and to another picture, under the margin that the root mean square of the change stays below 1e-3,
by a multiplier that is learned against it; as published, what is to stay has no part in the loss.

What differs: the weights are the feed-forward ones of the last three layers, as MEND's; the networks are
narrower, so that an editor stays under 5 MB; a scaled gradient keeps its rank, so a change is stored as
factors. Several facts are edited at once, from the base model's gradients, and their changes are added.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.registry import Method
from okedit_cli.methods.trained.cases import Case
from okedit_cli.methods.trained.editing import Draws, EditorTraining, Factors, Pool, added, editing_losses
from okedit_cli.methods.trained.files import EditorSettings, editor_for
from okedit_cli.methods.trained.upper import Upper
from okedit_cli.methods.tuning import computed_delta, edit_sample, timed
from okedit_cli.models.decode import greedy
from okedit_cli.models.encode import encode

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

OLD = 16  # tokens of the base model's answer that the condition holds
LONGEST = 128  # tokens of a condition
ANSWERED = ("text", "image")  # the kinds of questions that are trained on


@dataclass(frozen=True)
class KeTraining:
    """The published optimiser and margin; widths for small models."""

    layers: int = field(default=3, metadata={"help": "last layers whose feed-forward maps are edited"})
    lstm: int = field(default=128, metadata={"help": "numbers of the LSTM's state, in each direction"})
    condition: int = field(default=512, metadata={"help": "numbers of the condition; published 1024"})
    hidden: int = field(default=48, metadata={"help": "width of a weight's network; published 128"})
    rate: float = field(default=3e-4, metadata={"help": "of centered RMSprop, as published"})
    margin: float = field(
        default=1e-3, metadata={"help": "what a change's root mean square is to stay below"}
    )
    multiplier_rate: float = field(default=0.1, metadata={"help": "of the margin's multiplier, as published"})
    batch: int = field(default=8, metadata={"help": "edits a step"})


class Conditioner(nn.Module):
    """Of one weight [out, in]: gates out of a condition."""

    def __init__(self, condition: int, hidden: int, shape: tuple[int, int]) -> None:
        super().__init__()
        wide, tall = shape
        self.sizes = [tall, wide, tall, wide, 1]
        self.layers = nn.Sequential(
            nn.Linear(condition, hidden), nn.Tanh(), nn.Linear(hidden, sum(self.sizes))
        )

    def forward(self, condition: torch.Tensor, factors: Factors) -> Factors:
        """The factors of the change: those of the gradient u [T, in], delta [T, out] scaled, and one more."""
        row, column, row_2, column_2, size = self.layers(condition).float().split(self.sizes, -1)
        u, delta = factors
        down = torch.cat([u * column, column_2[None]])
        up = torch.cat([delta * row.softmax(-1), row_2.softmax(-1)[None]])
        return down, size.sigmoid() * up


class Network(nn.Module):
    """The LSTM and the conditioners by weight."""

    def __init__(self, shapes: dict[str, tuple[int, int]], embedding: int, settings: KeTraining) -> None:
        super().__init__()
        self.names = {name: name.replace(".", "_") for name in shapes}
        self.lstm = nn.LSTM(embedding, settings.lstm, batch_first=True, bidirectional=True)
        self.condition = nn.Linear(2 * settings.lstm, settings.condition)
        self.conditioners = nn.ModuleDict(
            {
                key: Conditioner(settings.condition, settings.hidden, shapes[name])
                for name, key in self.names.items()
            }
        )
        self.multiplier = nn.Parameter(torch.ones(1))  # of the margin; no part of an edit

    def forward(self, embedded: torch.Tensor, factors: dict[str, Factors]) -> dict[str, Factors]:
        """Of each weight (down, up): it changes by up^T down. `embedded` [L, D]: the condition's tokens."""
        _, (last, _) = self.lstm(embedded[None])
        condition = self.condition(last[:, 0].flatten()).tanh()
        return {name: self.conditioners[key](condition, factors[name]) for name, key in self.names.items()}


class KeTrainer(EditorTraining):
    """A step: the changes of a few edits, and what the edited model says of each one's questions."""

    def __init__(self, loaded: LoadedModel, cases: Sequence[Case], settings: KeTraining, seed: int) -> None:
        torch.manual_seed(seed)
        self.upper, self.settings = Upper(loaded, settings.layers), settings
        self.pool = Pool(self.upper, cases)
        width = loaded.model.get_input_embeddings().weight.shape[1]
        self.network = Network(self.upper.shapes, width, settings).to(loaded.device)
        rest = [one for name, one in self.network.named_parameters() if name != "multiplier"]
        self.optimiser = torch.optim.RMSprop(
            [
                {"params": rest},
                {"params": [self.network.multiplier], "lr": settings.multiplier_rate, "maximize": True},
            ],
            lr=settings.rate,
            centered=True,
        )

    def step(self, chance: random.Random) -> dict[str, float]:
        """One step on a few cases."""
        draws = self.drawn(chance)
        asked = [one for one in draws.asked if one[1] in ANSWERED]
        with torch.enable_grad():
            found = self.losses_of(Draws(draws.cases, asked))
            excess = found["size"] - self.settings.margin
            loss = found["text"] + found["image"] + self.network.multiplier.sum() * excess
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        with torch.no_grad():
            self.network.multiplier.clamp_(min=0)
        return {name: float(found[name].detach()) for name in (*ANSWERED, "size")}

    def losses_of(self, draws: Draws) -> dict[str, torch.Tensor]:
        rows = self.pool.rows(draws)
        with self.upper.precision():
            loaded = self.upper.loaded
            changes = [
                self.network(_embedded(loaded, case.old, case.edit.answer, case.edit.prompt), factors)
                for case, factors in zip(draws.cases, self.pool.factors(draws.cases), strict=True)
            ]
            add = {name: added([one[name] for one in changes], rows.edit) for name in self.network.names}
            found = editing_losses(self.upper, rows, add)
        sizes = [root_mean_square(*factors) for one in changes for factors in one.values()]
        return found | {"size": torch.stack(sizes).mean()}


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Add up the changes that a trained editor makes of each fact and its gradient."""
    editor = editor_for("ke", loaded, options.settings.editor)
    settings = KeTraining(**editor.card["settings"])
    upper = Upper(loaded, settings.layers)
    width = loaded.model.get_input_embeddings().weight.shape[1]
    network = Network(upper.shapes, width, settings).to(loaded.device)
    network.load_state_dict(editor.tensors)
    samples_of = sampler_for(loaded, facts, options)
    whole = {name: torch.zeros(shape[::-1]) for name, shape in upper.shapes.items()}

    @torch.no_grad()
    def fit(fact: Fact) -> None:
        edit = edit_sample(samples_of(fact))
        said = greedy(loaded, encode(loaded, [(edit.prompt, edit.picture)]), OLD)
        [old] = loaded.tokenizer.batch_decode(said, skip_special_tokens=True)
        [factors] = upper.factors(upper.read([(edit.prompt, edit.picture, edit.target)]))
        changes = network(_embedded(loaded, old.strip(), edit.target, edit.prompt), factors)
        for name, (down, up) in changes.items():
            whole[name] += (up.T @ down).cpu()

    seconds = timed(facts, options, fit)
    return computed_delta(loaded, facts, whole, seconds, options, {"editor": editor.digest[:16]})


def _embedded(loaded: LoadedModel, old: str, new: str, prompt: str) -> torch.Tensor:
    """The condition's tokens in the base model's embeddings [L, D]."""
    ids = loaded.tokenizer(f"{old} >> {new} || {prompt}", add_special_tokens=False)["input_ids"][:LONGEST]
    table = loaded.model.get_input_embeddings().weight.detach()
    return table[torch.tensor(ids, device=table.device)].float()


def root_mean_square(down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Of the entries of up^T down."""
    square = ((down.float() @ down.float().T) * (up.float() @ up.float().T)).sum()
    return (square.clamp(min=0) / (down.shape[1] * up.shape[1]) + 1e-20).sqrt()


METHOD = Method(
    "ke", "delta", compute, "gates each fact's gradient by a trained hypernetwork that reads the fact",
    "KE, KnowledgeEditor (De Cao et al., EMNLP 2021, arXiv 2104.08164), as VLKEB has it", EditorSettings,
    needs="an editor trained for the model (okedit-mini's comes along; okedit train ke)",
    costs="an answer, and a forward and backward pass a fact", train=KeTrainer, training=KeTraining,
)  # fmt: skip
