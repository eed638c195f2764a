"""MEND: a network that maps the rank-1 factors of a gradient to those of a better change of the weights.

After Mitchell et al. (ICLR 2022, arXiv 2110.11309) and VLKEB's MEND for vision-language models. Of the edited
weights of the last layers each token's (u, delta) is normalised and goes through an IDMLP that begins as the
identity, shared by weights of one shape, each with its own scale and offset; a weight changes by the sum of
the new outer products times a learned rate. Loss: 0.1 NLL of the new answer to the question reworded, 0.1 NLL
to another picture of the same thing, and KL from the base model on what is to stay, in words and on pictures.

What differs: rank 128 instead of 1920, so that an editor stays under 5 MB, with a higher rate over fewer
steps; the moments that factors are normalised by are those of a sample of the training edits, not running
ones; the token that ends an answer is learned too. Several facts are edited at once, from the base model's
gradients, and their changes are added, as in the paper's batched edits: so a fact's change depends on that
fact alone.
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

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class MendTraining:
    """The last three layers as in VLKEB; loss weights as there; sizes for small models."""

    layers: int = field(default=3, metadata={"help": "last layers whose feed-forward maps are edited"})
    rank: int = field(default=128, metadata={"help": "of the network's maps; published 1920"})
    rate: float = field(default=5e-4, metadata={"help": "of Adam; published 1e-6, for 50,000 steps"})
    edit_rate: float = field(default=1e-4, metadata={"help": "that the learned rates of edits begin with"})
    batch: int = field(default=8, metadata={"help": "edits a step"})
    text: float = field(default=0.1, metadata={"help": "weight of the loss on rephrased questions"})
    image: float = field(default=0.1, metadata={"help": "weight of the loss on other pictures"})
    keep: float = field(default=1.0, metadata={"help": "weight of the divergence on what is to stay"})


class Layer(nn.Module):
    """x + relu(up down x + bias), with a scale and an offset of each mode, a weight of the shape."""

    def __init__(self, width: int, rank: int, modes: int) -> None:
        super().__init__()
        rank = min(rank, width)
        self.up = nn.Parameter(torch.zeros(width, rank))
        self.down = nn.Parameter(torch.randn(rank, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(modes, width))
        self.offset = nn.Parameter(torch.zeros(modes, width))

    def forward(self, x: torch.Tensor, mode: int) -> torch.Tensor:
        """x [T, d] for the weight `mode`."""
        inner = (x @ self.down.T) @ self.up.T + self.bias
        return x + (inner * self.scale[mode] + self.offset[mode]).clamp(min=0)


class Transform(nn.Module):
    """The IDMLP of one shape over u and delta together, normalised."""

    def __init__(self, shape: tuple[int, int], rank: int, modes: int) -> None:
        super().__init__()
        self.width = shape[0]
        self.layers = nn.ModuleList(Layer(sum(shape), rank, modes) for _ in range(2))
        self.register_buffer("mean", torch.zeros(sum(shape)))
        self.register_buffer("deviation", torch.ones(sum(shape)))

    def measure(self, factors: Sequence[Factors]) -> None:
        """Take the moments of factors for the normalisation."""
        whole = torch.cat([torch.cat(one, -1) for one in factors])
        self.mean.copy_(whole.mean(0))
        self.deviation.copy_(whole.std(0).clamp(min=LEAST))

    def forward(self, factors: Factors, mode: int) -> Factors:
        """u [T, in] and delta [T, out] to those of the change."""
        x = (torch.cat(factors, -1) - self.mean) / self.deviation
        for layer in self.layers:
            x = layer(x, mode)
        return x[:, : self.width], x[:, self.width :]


class Network(nn.Module):
    """Transforms by shape, and the learned rate of each weight."""

    def __init__(self, shapes: dict[str, tuple[int, int]], rank: int, edit_rate: float) -> None:
        super().__init__()
        self.shapes = shapes
        groups: dict[tuple[int, int], list[str]] = {}
        for name, shape in shapes.items():
            groups.setdefault(shape, []).append(name)
        self.place = {
            name: (_key(shape), names.index(name)) for shape, names in groups.items() for name in names
        }
        self.transforms = nn.ModuleDict(
            {_key(shape): Transform(shape, rank, len(names)) for shape, names in groups.items()}
        )
        self.rates = nn.Parameter(torch.full((len(shapes),), edit_rate))

    def measure(self, several: Sequence[dict[str, Factors]]) -> None:
        """Take the moments of several edits' factors."""
        for key, transform in self.transforms.items():
            transform.measure([one[n] for one in several for n in one if self.place[n][0] == key])

    def forward(self, factors: dict[str, Factors]) -> dict[str, Factors]:
        """Of each weight (down [T, in], up [T, out]): it changes by up^T down."""
        return {name: several[0] for name, several in self.together([factors]).items()}

    def together(self, several: Sequence[dict[str, Factors]]) -> dict[str, list[Factors]]:
        """The same of several edits, each token for itself."""
        out = {}
        for number, name in enumerate(self.shapes):
            key, mode = self.place[name]
            parts = [one[name] for one in several]
            sizes = [len(u) for u, _ in parts]
            u, delta = self.transforms[key](tuple(map(torch.cat, zip(*parts, strict=True))), mode)
            out[name] = list(zip(u.split(sizes), (-self.rates[number] * delta).split(sizes), strict=True))
        return out


class MendTrainer(EditorTraining):
    """A step: the changes of a few edits, and what the edited model says of each one's questions."""

    def __init__(self, loaded: LoadedModel, cases: Sequence[Case], settings: MendTraining, seed: int) -> None:
        torch.manual_seed(seed)
        self.upper, self.settings = Upper(loaded, settings.layers), settings
        self.pool = Pool(self.upper, cases)
        self.network = Network(self.upper.shapes, settings.rank, settings.edit_rate).to(loaded.device)
        chosen = random.Random(seed).sample(range(len(cases)), min(SAMPLE, len(cases)))
        self.network.measure(self.pool.factors([cases[number] for number in chosen]))
        rest = [p for name, p in self.network.named_parameters() if name != "rates"]
        self.optimiser = torch.optim.Adam(
            [{"params": rest}, {"params": [self.network.rates], "lr": RATES}], lr=settings.rate
        )

    def step(self, chance: random.Random) -> dict[str, float]:
        """One step on a few cases."""
        with torch.enable_grad():
            found = self.losses_of(self.drawn(chance))
            loss = self.settings.text * found["text"] + self.settings.image * found["image"]
            loss = loss + self.settings.keep * found["keep"]
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
            self.optimiser.step()
        return {name: float(one.detach()) for name, one in found.items()}

    def losses_of(self, draws: Draws) -> dict[str, torch.Tensor]:
        rows = self.pool.rows(draws)
        with self.upper.precision():
            changes = self.network.together(self.pool.factors(draws.cases))
            add = {name: added(several, rows.edit) for name, several in changes.items()}
            return editing_losses(self.upper, rows, add)


SAMPLE = 64  # edits whose factors' moments are taken
RATES = 1e-5  # of Adam for the learned rates of edits: a tenth of what they begin with
LEAST = 1e-9  # of a deviation: gradients are small
CLIP = 1.0


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Add up the changes that a trained editor makes of each fact's gradient."""
    editor = editor_for("mend", loaded, options.settings.editor)
    told = editor.card["settings"]
    upper = Upper(loaded, told["layers"])
    network = Network(upper.shapes, told["rank"], told["edit_rate"]).to(loaded.device)
    network.load_state_dict(editor.tensors)
    samples_of = sampler_for(loaded, facts, options)
    whole = {name: torch.zeros(shape[::-1]) for name, shape in upper.shapes.items()}

    @torch.no_grad()
    def fit(fact: Fact) -> None:
        edit = edit_sample(samples_of(fact))
        [factors] = upper.factors(upper.read([(edit.prompt, edit.picture, edit.target)]))
        for name, (down, up) in network(factors).items():
            whole[name] += (up.T @ down).cpu()

    seconds = timed(facts, options, fit)
    return computed_delta(loaded, facts, whole, seconds, options, {"editor": editor.digest[:16]})


def _key(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


METHOD = Method(
    "mend", "delta", compute, "maps each fact's gradient to a change of weights by a trained network",
    "MEND (Mitchell et al., ICLR 2022, arXiv 2110.11309), as VLKEB has it", EditorSettings,
    needs="an editor trained for the model (okedit-mini's comes along; okedit train mend)",
    costs="a forward and backward pass a fact", train=MendTrainer, training=MendTraining,
)  # fmt: skip
