"""What happens inside a scope: low-rank affine changes of what one decoder layer gives, of many facts at
once.

They begin with the directions that tell the places of an answer apart (places.py). Loss: cross-entropy on
the answer for the edit and its positives, among tokens of the fact's own, so that no fact depends on those
that are fitted beside it. Negatives are the scope's business: a KL term on them made hardly a misfire milder,
and cost other wordings inside the scope the answer. Only the answer's tokens run, only through the layers
from the site upwards (models/suffix.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.methods.groups import at_once, edit_of, groups_of
from okedit_cli.methods.places import parting, places_of
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.prefixes import forget_prefixes
from okedit_cli.models.sites import hidden_size
from okedit_cli.models.suffix import run_suffix

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

RANK, STEPS, RATE = 4, 40, 0.05
ENOUGH, LEAST = 0.0015, 12  # mean cross-entropy at which a fact needs no more steps after so many
# of a fact whose loss is still higher the rate was too low, as where logits are small; further rates
LATE, FASTER = 0.1, (0.2, 0.8)
ROWS = 96  # samples fitted together, where memory is for them
POSITIVES, VIEWS = 10, 1  # samples of a fact that are run, the edit among them; transformed views of those
RIVALS, STRANGERS = 24, 512  # tokens an answer is weighed against: likely ones at each place, and any
CHECKS, RISEN = (8, 20), 8  # steps at which all tokens are looked at: the likeliest join those


@dataclass
class Values:
    """Stacked changes: down, up [N, rank, d], bias [N, d]."""

    down: torch.Tensor
    up: torch.Tensor
    bias: torch.Tensor


def change_rows(x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Change for rows x [B, T, d] with a value each: down, up [B, rank, d], bias [B, d]."""
    x = x.to(down.dtype)
    return torch.einsum("btr,brd->btd", torch.einsum("btd,brd->btr", x, down), up) + bias[:, None]


def by_itself(loaded: LoadedModel) -> bool:
    """Whether each fact is fitted in batches of its own, so that it comes out the same bit by bit whatever is
    fitted beside it. On a CPU that costs nothing; an accelerator is several times quicker with many together,
    and other than that by rounding.
    """
    return loaded.device.type == "cpu"


def fit_values(
    loaded: LoadedModel,
    facts: Sequence[Sequence[Sample]],
    layer: int,
    *,
    seed: int = 0,
    rank: int = RANK,
    places: bool = True,
    apart: bool | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[Values, list[float]]:
    """Values of facts, each given by its samples, and the seconds each took; without `places` they begin with
    random directions. `apart`: each fact in batches of its own (None: where by_itself() says so).
    """
    width = hidden_size(loaded.model)
    found = Values(*(torch.zeros(len(facts), *shape) for shape in ((rank, width), (rank, width), (width,))))
    seconds, step = [0.0] * len(facts), at_once(loaded, facts, layer, POSITIVES, ROWS // POSITIVES)
    if apart or (apart is None and by_itself(loaded)):
        step = 1
    forget_prefixes(loaded)  # which may have been read by themselves, where these read several together
    # answers of one length together: pads cost as much as words
    order = sorted(range(len(facts)), key=lambda n: len(answer_ids(loaded, edit_of(facts[n]).target)))
    for start in range(0, len(facts), step):
        began, rows = time.perf_counter(), order[start : start + step]
        part = _fit_part(loaded, [facts[n] for n in rows], layer, seed, rank, places)
        for name in ("down", "up", "bias"):
            getattr(found, name)[rows] = getattr(part, name)
        took = (time.perf_counter() - began) / len(rows)
        for n in rows:
            seconds[n] = took
        done(start + len(rows))
    return found, seconds


def joined(parts: Sequence[Values]) -> Values:
    """The values of all parts, in their order."""
    return Values(*(torch.cat([getattr(part, name) for part in parts]) for name in ("down", "up", "bias")))


def fitted_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Edit first, then positives of every origin and cell in turn. Views beyond VIEWS come last: each costs a
    look, and what is asked varies more than what is shown.
    """
    out, seen, late = [s for s in samples if s.role == "edit"], 0, []
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.role == "positive":
            groups.setdefault((sample.cell, sample.origin), []).append(sample)
    turn = list(groups.values())
    turn += [g for (cell, _), g in groups.items() if cell in ("edit/rephrase", "none/rephrase")]
    while len(out) < POSITIVES and any(turn):
        for group in turn:
            if group and group[0].origin == "transform" and seen == VIEWS:
                late += group
                group.clear()
            if group and len(out) < POSITIVES:
                seen += group[0].origin == "transform"
                out.append(group.pop(0))
    return (out + late)[:POSITIVES]


def _fit_part(
    loaded: LoadedModel, facts: Sequence[Sequence[Sample]], layer: int, seed: int, rank: int, places: bool
) -> Values:
    chosen = [(number, sample) for number, samples in enumerate(facts) for sample in fitted_samples(samples)]
    groups = groups_of(loaded, chosen, layer)
    found, said = _optimise(loaded, groups, len(facts), seed, rank, places, RATE)
    for rate in FASTER:
        if not bool((late := said > LATE).any()):
            break
        those, _ = still_running(late.to(loaded.device), groups, [None] * len(groups))
        again, then = _optimise(loaded, those, len(facts), seed, rank, places, rate)
        better = then < said
        said = torch.where(better, then, said)
        for name in ("down", "up", "bias"):
            getattr(found, name)[better] = getattr(again, name)[better]
    return found


def _optimise(
    loaded: LoadedModel, groups, count: int, seed: int, rank: int, places: bool, rate: float
) -> tuple[Values, torch.Tensor]:
    """Values of `count` facts and the loss [count] that each came to; of a fact without rows inf."""
    width, device = hidden_size(loaded.model), loaded.device
    noise = torch.Generator().manual_seed(seed)
    first = torch.randn(rank, width, generator=noise).to(device) / width**0.5
    told = _places_of_answers(loaded, groups) if places else {}
    # The change is learned in units of the residual stream, so that one rate serves every layer and model.
    unit = _units(groups, count)
    down = parting(told, first, count).requires_grad_()
    up = torch.zeros(count, rank, width, device=device, requires_grad=True)
    bias = torch.zeros(count, width, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [up, bias], "lr": rate}, {"params": [down], "lr": rate / 10}])
    best = torch.full((count,), torch.inf, device=device)
    saved = [tensor.detach().clone() for tensor in (down, up, bias)]
    strangers = torch.randint(groups[0][0].logits.shape[-1], (STRANGERS,), generator=noise).to(device)
    own = _own_tokens(groups, count)
    vocabulary, known = _vocabulary(own, strangers)
    targets = [_places(suffix.targets, vocabulary) for suffix, _ in groups]
    samples = sum(torch.bincount(owner, minlength=count) for _, owner in groups)
    running = samples > 0  # facts that need more steps
    for step in range(STEPS + 1):
        if step in CHECKS:  # what nobody weighed the answer against may have come to the top
            changes = [_change(owner, down, up * unit[:, None], bias * unit) for _, owner in groups]
            _add_risen(loaded, own, groups, changes)
            vocabulary, known = _vocabulary(own, strangers)
            targets = [_places(suffix.targets, vocabulary) for suffix, _ in groups]
            best[running] = torch.inf
        optimiser.zero_grad()
        said, total = torch.zeros(count, device=device), torch.zeros((), device=device)
        for (suffix, owner), target in zip(groups, targets, strict=True):
            change = _change(owner, down, up * unit[:, None], bias * unit)
            logits = run_suffix(loaded, suffix, change, vocabulary).float()
            logits = logits.masked_fill(~known[owner][:, None], -torch.inf)  # other facts' tokens
            loss = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=-100, reduction="none")
            row = loss.sum(1) / (target != -100).sum(1) / samples[owner]
            total = total + row.sum()
            said.index_add_(0, owner, row.detach())
        better = running & (said < best)
        for kept, now in zip(saved, (down, up, bias), strict=True):
            kept[better] = now.detach()[better]
        best = torch.where(better, said, best)
        done = running & (said < ENOUGH) & (step >= LEAST)
        if step == STEPS or bool((done == running).all()):
            break
        total.backward()
        optimiser.step()
        if bool(done.any()):
            running = running & ~done
            groups, targets = still_running(running, groups, targets)
        for group in optimiser.param_groups:
            group["lr"] *= 0.97
    down, up, bias = saved
    return Values(down.cpu(), (up * unit[:, None]).cpu(), (bias * unit).cpu()), best.cpu()


def _units(groups, count: int) -> torch.Tensor:
    """The root mean square [count, 1] of what the site's layer gives, of each fact's samples at the places
    of their answers; nothing of a fact depends on those beside it.
    """
    device = groups[0][1].device
    squares, places = torch.zeros(count, device=device), torch.zeros(count, device=device)
    for suffix, owner in groups:
        told = suffix.targets != -100
        squares.index_add_(0, owner, (suffix.states.float().pow(2).mean(-1) * told).sum(1))
        places.index_add_(0, owner, told.sum(1).float())
    return (squares / places.clamp_min(1)).sqrt()[:, None]


@torch.no_grad()
def _places_of_answers(loaded: LoadedModel, groups) -> dict[tuple[int, int], torch.Tensor]:
    """What the site receives at each place of the facts' answers."""
    seen: list[torch.Tensor] = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    for suffix, _ in groups:
        run_suffix(loaded, suffix, look, suffix.targets.new_zeros(1))  # whatever is said
    return places_of(seen, [suffix.targets for suffix, _ in groups], [owner for _, owner in groups])


@torch.no_grad()
def _add_risen(loaded: LoadedModel, own: list[torch.Tensor], groups, changes) -> None:
    """To each fact's tokens those that the changes, as they are, make likeliest of all."""
    for (suffix, owner), change in zip(groups, changes, strict=True):
        risen = run_suffix(loaded, suffix, change).topk(RISEN, dim=-1).indices
        for row, fact in enumerate(owner.tolist()):
            own[fact] = torch.cat([own[fact], risen[row][suffix.targets[row] >= 0].flatten()])


def still_running(running: torch.Tensor, groups, targets):
    """Groups and targets of the rows whose facts are still running."""
    kept = []
    for (suffix, owner), target in zip(groups, targets, strict=True):
        rows = running[owner].nonzero()[:, 0]
        if len(rows):
            kept.append(((suffix.rows(rows), owner[rows]), None if target is None else target[rows]))
    return tuple(map(list, zip(*kept, strict=True)))


def _change(owner: torch.Tensor, down: torch.Tensor, up: torch.Tensor, bias: torch.Tensor):
    return lambda x: change_rows(x, down[owner], up[owner], bias[owner])


def _own_tokens(groups, count: int) -> list[torch.Tensor]:
    """The tokens that matter to each fact: every target, and the likely ones of the unedited model."""
    own = [torch.zeros(0, dtype=torch.long, device=groups[0][1].device) for _ in range(count)]
    for suffix, owner in groups:
        likely = suffix.logits.topk(min(RIVALS, suffix.logits.shape[-1]), dim=-1).indices
        for row, fact in enumerate(owner.tolist()):
            there = suffix.targets[row] >= 0
            own[fact] = torch.cat([own[fact], suffix.targets[row][there], likely[row][there].flatten()])
    return own


def _vocabulary(own: Sequence[torch.Tensor], strangers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All facts' tokens with a random sample, sorted [V], and which of them each fact is weighed against
    [facts, V].
    """
    vocabulary = torch.cat([strangers, *own]).unique()
    known = torch.isin(vocabulary, strangers).repeat(len(own), 1)
    for fact, tokens in enumerate(own):
        known[fact] |= torch.isin(vocabulary, tokens)
    return vocabulary, known


def _places(targets: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    """Targets as places in the vocabulary; -100 stays."""
    return torch.where(targets < 0, targets, torch.searchsorted(vocabulary, targets.clamp_min(0)))
