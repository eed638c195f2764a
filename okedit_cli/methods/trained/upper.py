"""The upper layers of a model by themselves, from stored states: what an edit of the last layers can change.

What comes below the edited layers is the same whatever they hold. So a question is read up to there once, and
a step of training runs a few layers over the stored states, with changes of weights added to their maps'
outputs: no weight is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from okedit_cli.errors import ModelError
from okedit_cli.methods.tuning import located
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.hooks import hidden_of, of_this_thread
from okedit_cli.models.points import points_of
from okedit_cli.models.sites import decoder, decoder_layers

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

POINTS = ("mlp_in", "mlp_out")
TOLERANCE = (
    0.05  # of the spread of logits: further from the whole model's the upper layers do not stand for it
)
Asked = tuple[str, "Image | None", str]


class _Stop(Exception):
    """What is below has been read."""


@dataclass(frozen=True, eq=False)
class Row:
    """A question and its answer where they enter the upper layers: states [L, d], position ids [..., L] if
    the model told its decoder any, and the answer's ids.
    """

    states: torch.Tensor
    positions: torch.Tensor | None
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right: states [B, L, d]; of each of N answer tokens its row, the column that says
    it, and its id. `counts`: answer tokens of each row.
    """

    states: torch.Tensor
    positions: torch.Tensor | None
    row: torch.Tensor
    column: torch.Tensor
    targets: torch.Tensor
    counts: torch.Tensor

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Means [B] of values [N] over each row's answer tokens."""
        sums = torch.zeros(len(self.counts), dtype=values.dtype, device=values.device)
        return sums.index_add(0, self.row, values) / self.counts


class Upper:
    """The last `count` layers of a model with the feed-forward maps that are edited in them."""

    def __init__(self, loaded: LoadedModel, count: int = 3) -> None:
        self.loaded, self.owner, layers = loaded, decoder(loaded.model), decoder_layers(loaded.model)
        self.first = max(0, len(layers) - count)
        self.attribute = next(name for name, one in self.owner.named_children() if one is layers)
        self.whole, self.part = layers, nn.ModuleList(layers[self.first :])
        self.points = [
            point
            for layer in range(self.first, len(layers))
            for point in points_of(loaded.model, layer, POINTS)
        ]
        self.weights = {str(point): located(loaded, point) for point in self.points}
        if not self.weights:
            raise ModelError(
                f"{loaded.name} has no feed-forward weights that okedit knows in its last layers.",
                hint="Use a codebook method such as balancedit.",
            )
        self._checked = False

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each edited weight, by its point's name."""
        return {name: weight.shape[::-1] for name, weight in self.weights.items()}

    @torch.no_grad()
    def read(self, asked: Sequence[Asked], fast: bool = False) -> list[Row]:
        """Questions with their answers, read up to the upper layers; `fast`: in bf16 where it is quicker."""
        if not self._checked:
            self._checked = True
            self._check(asked[0])
        answers = [answer_ids(self.loaded, answer) for _, _, answer in asked]
        inputs = encode(self.loaded, [one[:2] for one in asked], answers=answers)
        found: dict[str, Any] = {}

        def told(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            found["positions"] = kwargs.get("position_ids")

        def stop(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            found["states"] = hidden_of(args, kwargs).detach().float()
            raise _Stop

        with ExitStack() as stack:
            stack.enter_context(self.precision(fast))
            for module, hook in ((self.owner, told), (self.part[0], stop)):
                handle = module.register_forward_pre_hook(of_this_thread(hook), with_kwargs=True)
                stack.callback(handle.remove)
            try:
                self.loaded.forward(**inputs, use_cache=False)
            except _Stop:
                pass
        out, where = [], found["positions"]
        for row, ids in enumerate(answers):
            seen = inputs["attention_mask"][row].bool()
            mine = where
            if where is not None:
                mine = where[..., row if where.shape[-2] > 1 else 0, :][..., seen].clone()
            out.append(Row(found["states"][row, seen].clone(), mine, tuple(ids)))
        return out

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Rows as one batch."""
        longest = max(len(row.states) for row in rows)
        states = torch.stack([F.pad(row.states, (0, 0, 0, longest - len(row.states))) for row in rows])
        positions = None
        if rows[0].positions is not None:
            padded = [F.pad(row.positions, (0, longest - row.positions.shape[-1])) for row in rows]
            positions = torch.stack(padded, dim=-2)
        places = [
            (number, len(row.states) - len(row.ids) - 1 + n, token)
            for number, row in enumerate(rows)
            for n, token in enumerate(row.ids)
        ]
        row, column, targets = torch.tensor(places, device=states.device).T
        counts = torch.tensor([len(one.ids) for one in rows], device=states.device)
        return Batch(states, positions, row, column, targets, counts)

    def run(
        self,
        batch: Batch,
        add: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] | None = None,
        seen: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """States [N, d] from which the answers' tokens are said. `add`: what is added to a map's output for
        its input [B, L, in], by the point's name. `seen` receives each map's input and output.
        """

        def put(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            if args:
                return (batch.states, *args[1:]), kwargs
            return args, kwargs | {"hidden_states": batch.states}

        with self._alone(), ExitStack() as stack:
            handle = self.part[0].register_forward_pre_hook(put, with_kwargs=True)
            stack.callback(handle.remove)
            for name, weight in self.weights.items():
                hook = _hook(name, (add or {}).get(name), seen)
                stack.callback(weight.module.register_forward_hook(hook).remove)
            told = {} if batch.positions is None else {"position_ids": batch.positions}
            out = self.owner(inputs_embeds=batch.states, use_cache=False, **told)
        return out.last_hidden_state[batch.row, batch.column]

    def say(self, states: torch.Tensor) -> torch.Tensor:
        """Logits [N, V], fp32."""
        return self.loaded.model.get_output_embeddings()(states).float()

    def factors(
        self, rows: Sequence[Row], fast: bool = False
    ) -> list[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
        """Of each row the factors of its loss's gradient at the edited weights, by their points' names:
        inputs u [T, in] and gradients of outputs delta [T, out], of each token that has any; the gradient is
        their sum of delta u^T.
        """
        batch, seen = self.batch(rows), {}
        with torch.enable_grad(), self.precision(fast):
            batch.states.requires_grad_()
            logits = self.say(self.run(batch, seen=seen))
            loss = batch.mean(F.cross_entropy(logits, batch.targets, reduction="none")).sum()
            found = torch.autograd.grad(loss, [output for _, output in seen.values()])
        out: list[dict] = [{} for _ in rows]
        for (name, (given, _)), delta in zip(seen.items(), found, strict=True):
            for number, row in enumerate(rows):
                u, d = (one[number, : len(row.states)].detach().float() for one in (given, delta))
                there = (d != 0).any(-1) & (u != 0).any(-1)
                out[number][name] = u[there], d[there]
        return out

    def precision(self, fast: bool = True) -> torch.autocast:
        """Context of products in bf16, where weights are fp32 and it is wanted."""
        model = self.loaded
        return torch.autocast(model.device.type, torch.bfloat16, fast and model.dtype == torch.float32)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The decoder has the upper layers alone."""
        setattr(self.owner, self.attribute, self.part)
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, self.whole)

    @torch.no_grad()
    def _check(self, asked: Asked) -> None:
        """ModelError unless the upper layers alone say what the whole model says."""
        [row] = self.read([asked])
        inputs = encode(self.loaded, [asked[:2]], answers=[row.ids])
        wanted = self.loaded.forward(**inputs).logits[0, -len(row.ids) - 1 : -1].float()
        found = self.say(self.run(self.batch([row])))
        if (found - wanted).abs().max() > TOLERANCE * wanted.std():
            raise ModelError(
                f"The last layers of {self.loaded.name} cannot be run by themselves, so no editor can be"
                " trained for it.",
                hint="Use a codebook method such as balancedit.",
            )


def _hook(name: str, add: Callable | None, seen: dict | None) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        if add is not None:
            output = output + add(args[0]).to(output.dtype)
        if seen is not None:
            seen[name] = args[0], output
        return output

    return hook
