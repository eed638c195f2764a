"""What happens inside a scope: low-rank affine changes of one feed-forward output, of many facts at once.

Loss: cross-entropy on the answer for the edit and its positives, and KL to the unedited model on the
negatives, so that a misfire is mild. Only the answer's tokens run, only through the layers from the site
upwards (models/suffix.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.models.decode import go_on, greedy
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.prefixes import together
from okedit_cli.models.reading import read, shares
from okedit_cli.models.sites import hidden_size
from okedit_cli.models.suffix import Suffix, read_prompts, run_suffix

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples import Sample

RANK, STEPS, RATE = 4, 40, 0.05
KEEP = 0.3  # weight of KL on the negatives
ENOUGH, LEAST = 0.001, 15  # mean cross-entropy at which a fact needs no more steps after so many
ROWS = 96  # samples fitted together: bounds memory
POSITIVES, NEGATIVES = 9, 2  # samples of a fact that are run
RIVALS, STRANGERS = 64, 2048  # tokens an answer is weighed against: likely ones at each place, and any
CHECKS, RISEN = (6, 14, 22, 30), 8  # steps at which all tokens are looked at: the likeliest join those


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


def fit_values(
    loaded: LoadedModel,
    facts: Sequence[Sequence[Sample]],
    layer: int,
    *,
    seed: int = 0,
    rank: int = RANK,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[Values, list[float]]:
    """Values of facts, each given by its samples, and the seconds each took."""
    parts, seconds = [], []
    per_fact = POSITIVES + NEGATIVES
    step = max(1, ROWS // per_fact)
    for start in range(0, len(facts), step):
        began = time.perf_counter()
        part = facts[start : start + step]
        parts.append(_fit_part(loaded, part, layer, seed, rank))
        seconds += [(time.perf_counter() - began) / len(part)] * len(part)
        done(start + len(part))
    width = hidden_size(loaded.model)
    if not parts:
        none = torch.zeros(0, rank, width)
        return Values(none, none, torch.zeros(0, width)), seconds
    return Values(*(torch.cat([getattr(p, name) for p in parts]) for name in ("down", "up", "bias"))), seconds


def _chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Edit first, then positives and negatives of every origin and cell in turn."""
    edit = [s for s in samples if s.role == "edit"]
    out = list(edit)
    for role, count in (("positive", POSITIVES - len(edit)), ("negative", NEGATIVES)):
        groups: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            if sample.role == role:
                groups.setdefault((sample.cell, sample.origin), []).append(sample)
        turn = [g for g in groups.values()]
        # what is asked varies more than what is shown, and a wording costs no second look: two in each turn
        turn += [g for (cell, _), g in groups.items() if cell in ("edit/rephrase", "none/rephrase")]
        picked: list[Sample] = []
        while len(picked) < count and any(turn):
            for group in turn:
                if group and len(picked) < count:
                    picked.append(group.pop(0))
        out += picked
    return out


def _fit_part(
    loaded: LoadedModel, facts: Sequence[Sequence[Sample]], layer: int, seed: int, rank: int
) -> Values:
    chosen = [(number, sample) for number, samples in enumerate(facts) for sample in _chosen(samples)]
    pictures = [sample.picture for _, sample in chosen if sample.picture is not None]
    with together(loaded, pictures) if pictures and shares(loaded) else nullcontext():
        groups = _groups(loaded, chosen, layer)
    return _optimise(loaded, groups, len(facts), layer, seed, rank)


def _groups(
    loaded: LoadedModel, chosen: Sequence[tuple[int, Sample]], layer: int
) -> list[tuple[Suffix, torch.Tensor, bool]]:
    """Samples with the numbers of their facts, read up to the site: positives and negatives, apart."""
    groups = []
    for negative in (False, True):
        rows = [(n, s) for n, s in chosen if (s.role == "negative") == negative]
        for pictured in (False, True):  # are read apart: every family takes that
            part = [(n, s) for n, s in rows if (s.picture is not None) == pictured]
            if not part:
                continue
            questions = [(s.prompt, s.picture) for _, s in part]
            if negative:
                answers = _own_words(loaded, questions)
            else:
                answers = [answer_ids(loaded, s.target) for _, s in part]
            suffix = read_prompts(loaded, questions, answers, layer)
            owner = torch.tensor([n for n, _ in part], device=loaded.device)
            groups.append((suffix, owner, negative))
    return groups


def _own_words(loaded: LoadedModel, questions: Sequence, count: int = 3) -> list[list[int]]:
    """The unedited model's first `count` tokens in answer to each question."""
    if shares(loaded):
        return go_on(loaded, read(loaded, questions), count, ended=False)
    return greedy(loaded, encode(loaded, questions), count, min_new_tokens=count).tolist()


def _optimise(loaded: LoadedModel, groups, count: int, layer: int, seed: int, rank: int) -> Values:
    width, device = hidden_size(loaded.model), loaded.device
    noise = torch.Generator().manual_seed(seed)
    first = torch.randn(rank, width, generator=noise).to(device)
    # The change is learned in units of the residual stream, so that one rate serves every layer and model.
    unit = torch.cat([g[0].states.float().flatten(0, 1) for g in groups]).pow(2).mean().sqrt()
    down = (first / width**0.5).repeat(count, 1, 1).requires_grad_()
    up = torch.zeros(count, rank, width, device=device, requires_grad=True)
    bias = torch.zeros(count, width, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [up, bias], "lr": RATE}, {"params": [down], "lr": RATE / 10}])
    best = [
        torch.full((count,), torch.inf, device=device),
        down.detach().clone(),
        up.detach().clone(),
        bias.detach().clone(),
    ]
    vocabulary = _vocabulary([suffix for suffix, _, _ in groups], noise).to(device)
    bases, targets = _against(vocabulary, groups)
    running = torch.ones(count, dtype=torch.bool, device=device)  # facts that need more steps
    for step in range(STEPS + 1):
        if step in CHECKS:  # what nobody weighed the answer against may have come to the top
            changes = [_change(owner, down, up * unit, bias * unit) for _, owner, _ in groups]
            vocabulary = _with_risen(loaded, vocabulary, groups, changes, layer)
            bases, targets = _against(vocabulary, groups)
            best[0][running] = torch.inf
        optimiser.zero_grad()
        said, kept = torch.zeros(2, count, device=device)
        total = torch.zeros((), device=device)
        for (suffix, owner, negative), base, target in zip(groups, bases, targets, strict=True):
            change = _change(owner, down, up * unit, bias * unit)
            logits = run_suffix(loaded, suffix, layer, change, vocabulary).float()
            there = target != -100
            if negative:
                loss = F.kl_div(logits.log_softmax(-1), base, log_target=True, reduction="none").sum(-1)
            else:
                loss = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=-100, reduction="none")
            row = (loss * there).sum(1) / there.sum(1)
            share = torch.bincount(owner, minlength=count).clamp_min(1)[owner]
            total = total + (row / share).sum() * (KEEP if negative else 1.0)
            (kept if negative else said).index_add_(0, owner, (row / share).detach())
        score = torch.where(running, said + KEEP * kept, torch.inf)
        better = score < best[0]
        for saved, now in zip(best[1:], (down, up, bias), strict=True):
            saved[better] = now.detach()[better]
        best[0] = torch.minimum(best[0], score)
        done = running & (said < ENOUGH) & (step >= LEAST)
        if step == STEPS or bool((done == running).all()):
            break
        total.backward()
        optimiser.step()
        if bool(done.any()):
            running = running & ~done
            groups, bases, targets = _of_those(running, groups, bases, targets)
        for group in optimiser.param_groups:
            group["lr"] *= 0.97
    return Values(best[1].cpu(), (best[2] * unit).cpu(), (best[3] * unit).cpu())


def _against(vocabulary: torch.Tensor, groups) -> tuple[list, list]:
    """Of each group the unedited model's log-probabilities (None for positives), and the targets' places."""
    bases = [
        suffix.logits[..., vocabulary].float().log_softmax(-1) if negative else None
        for suffix, _, negative in groups
    ]
    return bases, [_places(suffix.targets, vocabulary) for suffix, _, _ in groups]


@torch.no_grad()
def _with_risen(loaded: LoadedModel, vocabulary: torch.Tensor, groups, changes, layer: int) -> torch.Tensor:
    """The vocabulary, and the tokens that the changes, as they are, make likeliest of all."""
    parts = [vocabulary]
    for (suffix, _, _), change in zip(groups, changes, strict=True):
        logits = run_suffix(loaded, suffix, layer, change)
        there = logits[suffix.targets >= 0]
        parts.append(there.topk(min(RISEN, there.shape[-1]), dim=-1).indices.flatten())
    return torch.cat(parts).unique()


def _of_those(running: torch.Tensor, groups, bases, targets):
    """Groups, bases and targets of the rows whose facts are still running."""
    kept = []
    for (suffix, owner, negative), base, target in zip(groups, bases, targets, strict=True):
        rows = running[owner].nonzero()[:, 0]
        if len(rows):
            base = None if base is None else base[rows]
            kept.append(((suffix.rows(rows), owner[rows], negative), base, target[rows]))
    return tuple(map(list, zip(*kept, strict=True)))


def _change(owner: torch.Tensor, down: torch.Tensor, up: torch.Tensor, bias: torch.Tensor):
    return lambda x: change_rows(x, down[owner], up[owner], bias[owner])


def _vocabulary(suffixes: Sequence[Suffix], noise: torch.Generator) -> torch.Tensor:
    """The tokens that matter, sorted: every target, the likely ones of the unedited model, and a random
    sample.
    """
    size = suffixes[0].logits.shape[-1]
    parts = [torch.randint(size, (STRANGERS,), generator=noise)]
    for suffix in suffixes:
        parts.append(suffix.targets[suffix.targets >= 0].cpu())
        parts.append(suffix.logits.topk(min(RIVALS, size), dim=-1).indices.flatten().cpu())
    return torch.cat(parts).unique()


def _places(targets: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    """Targets as places in the vocabulary; -100 stays."""
    return torch.where(targets < 0, targets, torch.searchsorted(vocabulary, targets.clamp_min(0)))
