"""MEMIT, AlphaEdit and CoME: facts are written into the feed-forward output maps of a few layers.

For each fact a target vector is found (target.py) for what the last of the layers puts out where the fact is
looked up (lookup.py). Then each layer in turn takes its part of what is still missing, by a solve (solve.py)
that weighs, or keeps out of, what must be preserved (moments.py). What differs from the papers: the corpus is
okedit's bank, the texts before a prompt are fixed, the token that ends an answer is learned too, the null
space is by a share and not by an absolute bound. Sequential by definition: facts are written together, and
later ones into what earlier ones have made of the weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.delta import Change
from okedit_cli.errors import UsageError
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options
from okedit_cli.methods.locate.lookup import Place, place_of, see
from okedit_cli.methods.locate.moments import Moment, moments
from okedit_cli.methods.locate.settings import AlphaEditSettings, ComeSettings, MemitSettings, layers_of
from okedit_cli.methods.locate.solve import NullSpace, alphaedit_change, memit_change, null_space
from okedit_cli.methods.locate.target import Target, offset_to, unlearned
from okedit_cli.methods.registry import Method
from okedit_cli.methods.tuning import computed_delta, edit_sample, located, scaled_rate, trainable
from okedit_cli.models.decode import greedy
from okedit_cli.models.encode import answer_ids, encode, end_ids
from okedit_cli.models.points import Point

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

PUBLISHED_KEYS = 14336  # width of Llama3-8B's keys, for which a moment's weight is published
OLD = 16  # tokens of the model's own answer that are unlearned
TINY = 1e-10  # of the largest singular value: what is rounding in double precision


@dataclass(frozen=True, eq=False)
class Asked:
    """A fact as it is written: its id, where it is looked up, the new answer's ids, and the old one's."""

    id: str
    place: Place
    new: list[int]
    old: list[int]


# of keys [d, n], residuals [out, n], the keys of earlier edits [d, m] and the layer: a change [out, d]
Solve = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def compute_memit(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Least squares between new and preserved keys."""
    settings, layers = options.settings, layers_of(loaded, options)
    kept = _moments(loaded, layers, options)

    solve, told = _least_squares(kept, settings.weight), _told(layers, kept)
    return _written(loaded, facts, options, layers, solve, _aimed, told)


def compute_come(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """MEMIT towards a target without the old answer."""
    settings, layers = options.settings, layers_of(loaded, options)
    kept = _moments(loaded, layers, options)

    def aim(loaded: LoadedModel, asked: Asked, layer: int, settings: ComeSettings) -> torch.Tensor:
        new = offset_to(loaded, asked.place, asked.new, layer, settings)
        if not asked.old or asked.old == asked.new:
            return new.state + new.offset
        # half the steps, and all of them: the model says it already, so the loss would be small at once
        steps = max(2, settings.steps // 2)
        old = offset_to(loaded, asked.place, asked.old, layer, settings, steps, stop=False)
        return unlearned(new, old, settings)

    solve, told = _least_squares(kept, settings.weight), _told(layers, kept)
    return _written(loaded, facts, options, layers, solve, aim, told, old=True)


def compute_alphaedit(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Changes in the null space of preserved keys, past edits' among what is weighed."""
    settings, layers = options.settings, layers_of(loaded, options)
    kept = _moments(loaded, layers, options)
    free: dict[int, NullSpace] = {}
    for number, layer in enumerate(layers):
        options.tell("finding the null space", number, len(layers))
        free[layer] = null_space(kept[layer].matrix, settings.nullspace)
        if not free[layer].kept:
            raise UsageError(
                f"alphaedit: no direction of layer {layer} is free of the preserved keys with nullspace"
                f" {settings.nullspace}.",
                hint="Allow more with --set nullspace=0.1.",
            )
    options.tell("finding the null space", len(layers), len(layers))

    def solve(keys, residuals, past, layer):
        return alphaedit_change(keys, residuals, past, free[layer], settings.l2)

    told = _told(layers, kept) | {
        "rank": [free[layer].rank for layer in layers],
        "kept": [free[layer].kept for layer in layers],
        "kept_share": [round(free[layer].share, 6) for layer in layers],
    }
    return _written(loaded, facts, options, layers, solve, _aimed, told)


def _least_squares(kept: dict[int, Moment], weight: float) -> Solve:
    """MEMIT's solve. A moment counts by the width of keys, since k^T C^-1 k of its own keys is about that."""

    def solve(keys, residuals, past, layer):
        return memit_change(keys, residuals, kept[layer].matrix, weight * len(keys) / PUBLISHED_KEYS)

    return solve


def _moments(loaded: LoadedModel, layers: Sequence[int], options: Options) -> dict[int, Moment]:
    return moments(loaded, layers, options.settings.tokens, options.tell)


def _told(layers: Sequence[int], kept: dict[int, Moment]) -> dict[str, Any]:
    """What a bundle's settings say of the layers."""
    return {
        "layers": list(layers),
        "tokens": [kept[layer].tokens for layer in layers],
        "key_length": [round(float(kept[layer].matrix.trace()) ** 0.5, 3) for layer in layers],
    }


def _aimed(loaded: LoadedModel, asked: Asked, layer: int, settings: MemitSettings) -> torch.Tensor:
    """The target state [h] of MEMIT."""
    found: Target = offset_to(loaded, asked.place, asked.new, layer, settings)
    return found.state + found.offset


def _written(
    loaded: LoadedModel,
    facts: Sequence[Fact],
    options: Options,
    layers: Sequence[int],
    solve: Solve,
    aim: Callable[[LoadedModel, Asked, int, Any], torch.Tensor],
    told: dict[str, Any],
    old: bool = False,
) -> Computed:
    """Write facts, `batch` at a time: their targets first, then layer after layer its part of the way."""
    settings, points = options.settings, {layer: Point(layer, "mlp_out") for layer in layers}
    asked = _asked(loaded, facts, options, old)
    size, seconds = settings.batch or max(1, len(asked)), {}
    with trainable(loaded, list(points.values())) as weights:
        for weight in weights.values():
            weight.requires_grad_(False)
        plain = {layer: located(loaded, point).matrix() for layer, point in points.items()}
        total = {layer: torch.zeros_like(plain[layer], dtype=torch.float64) for layer in layers}
        past = {layer: plain[layer].new_zeros(plain[layer].shape[1], 0) for layer in layers}
        for start in range(0, len(asked), size):
            some, targets = asked[start : start + size], []
            for number, one in enumerate(some):
                options.tell("fitting facts", start + number, len(asked))
                began = time.perf_counter()
                targets.append(aim(loaded, one, layers[-1], settings))
                seconds[one.id] = time.perf_counter() - began
            began = time.perf_counter()
            for number, layer in enumerate(layers):
                keys, states = _keys(loaded, some, layers[number:], settings.prefixes)
                residuals = (torch.stack(targets, 1) - states) / (len(layers) - number)
                total[layer] += solve(keys, residuals, past[layer], layer)
                past[layer] = torch.cat([past[layer], keys], 1)
                _put(loaded, points[layer], plain[layer], total[layer])
            for one in some:
                seconds[one.id] += (time.perf_counter() - began) / len(some)
    options.tell("fitting facts", len(asked), len(asked))
    changes = {str(points[layer]): low_rank(total[layer], len(asked)) for layer in layers}
    told = told | {
        "scaled_rate": scaled_rate(loaded, settings.rate),
        "looked_up_at": {one.id: one.place.subject or "the last prompt token" for one in asked},
    }
    return computed_delta(loaded, facts, changes, seconds, options, told)


def _asked(loaded: LoadedModel, facts: Sequence[Fact], options: Options, old: bool) -> list[Asked]:
    samples_of, out = sampler_for(loaded, facts, options), []
    for fact in facts:
        edit = edit_sample(samples_of(fact))
        new = answer_ids(loaded, edit.target)
        if not options.settings.end and len(new) > 1:
            new = new[:-1]
        before = own_answer(loaded, edit.prompt, edit.picture, options.settings.end) if old else []
        out.append(Asked(fact.id, place_of(loaded, edit.prompt, edit.picture), new, before))
    return out


def own_answer(loaded: LoadedModel, prompt: str, picture: Any, end: bool = True) -> list[int]:
    """Ids of what the model says by itself, OLD at most; `end`: with the one that ends it."""
    ids = greedy(loaded, encode(loaded, [(prompt, picture)]), OLD)[0].tolist()
    ends = end_ids(loaded)
    stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return ids[: stop + 1] if end else ids[:stop]


def _keys(
    loaded: LoadedModel, asked: Sequence[Asked], layers: Sequence[int], prefixes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys [d, n] of the first of the layers, and states [h, n] that the last puts out.

    Of a key half is the prompt's alone, and half the mean over the texts before it, as MEMIT weighs them; a
    state is the prompt's alone.
    """
    keys, states = [], []
    for one in asked:
        seen = see(loaded, one.place, layers, prefixes)
        found = seen.keys[layers[0]]
        keys.append((found[0] + found[1:].mean(0)) / 2 if len(found) > 1 else found[0])
        states.append(seen.states[0])
    return torch.stack(keys, 1), torch.stack(states, 1)


@torch.no_grad()
def _put(loaded: LoadedModel, point: Point, plain: torch.Tensor, change: torch.Tensor) -> None:
    """Write the weight [out, in] with its change, in the model's dtype."""
    weight, value = located(loaded, point), plain + change.to(plain)
    weight.module.weight.data = (value.T if weight.turned else value).to(weight.tensor.dtype).contiguous()


def low_rank(change: torch.Tensor, most: int) -> Change:
    """A change [out, in] as its singular directions, of which there are at most `most`, where that is
    smaller.
    """
    left, size, right = torch.linalg.svd(change.double().cpu(), full_matrices=False)
    rank = min(most, max(1, int((size > TINY * size[0]).sum())))
    if rank * sum(change.shape) >= change.numel():
        return Change(full=change.float().cpu().contiguous())
    up = (left[:, :rank] * size[:rank]).T.float().contiguous()
    return Change(down=right[:rank].float().contiguous(), up=up)


PICTURES = "; of questions about a picture experimental, the key is their last prompt token"
COSTS = "seconds to a minute a fact on a CPU, and once a model a minute to read what must be preserved"

MEMIT = Method(
    "memit", "delta", compute_memit, "writes facts into a few layers at once, by least squares",
    "MEMIT, Meng et al., ICLR 2023", MemitSettings,
    needs="questions that name what they are about" + PICTURES, costs=COSTS, sequential=True,
)  # fmt: skip
ALPHAEDIT = Method(
    "alphaedit", "delta", compute_alphaedit, "writes facts into what preserved keys leave free",
    "AlphaEdit, Fang et al., ICLR 2025", AlphaEditSettings,
    needs="questions that name what they are about" + PICTURES, costs=COSTS, sequential=True,
)  # fmt: skip
COME = Method(
    "come", "delta", compute_come, "MEMIT that takes the old answer away",
    "CoME, Jung et al., NAACL 2025", ComeSettings,
    needs="questions that name what they are about" + PICTURES, 
    costs=COSTS + "; half as much again for the old answer", sequential=True,
)  # fmt: skip
