"""Samples of facts, read up to a site in groups that memory is for. Not here: what is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.encode import answer_ids
from okedit_cli.models.memory import bounds, in_batches, token_bytes
from okedit_cli.models.reading import prompt_tokens
from okedit_cli.models.sites import decoder_layers
from okedit_cli.models.suffix import Suffix, read_prompts

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

ABOVE = 4  # part of a batch's bytes for the prompts of these above the site: fitting holds them twice or more


def at_once(loaded: LoadedModel, facts: Sequence[Sequence[Sample]], layer: int, rows: int, most: int) -> int:
    """How many facts, at most `most` of so many `rows`, are fitted at a time: of all their prompts what lies
    above the site is held.
    """
    edits = [edit_of(samples) for samples in facts]
    longest = next((one for one in edits if one.picture is not None), edits[0] if edits else None)
    if longest is None:
        return 1
    layers = len(decoder_layers(loaded.model))
    above = token_bytes(loaded) * (layers - 1 - layer) // layers
    each = rows * prompt_tokens(loaded, longest.prompt, longest.picture) * max(1, above)
    return max(1, min(most, bounds(loaded).batch // ABOVE // each))


def groups_of(
    loaded: LoadedModel, chosen: Sequence[tuple[int, Sample]], layer: int
) -> list[tuple[Suffix, torch.Tensor]]:
    """Samples with the numbers of their facts, read up to the site, as many at a time as memory is for."""
    groups = []
    for pictured in (False, True):  # are read apart: every family takes that
        part = [(n, s) for n, s in chosen if (s.picture is not None) == pictured]
        if pictured:  # questions about one picture stay together
            first = {id(s.picture): place for place, (_, s) in reversed(list(enumerate(part)))}
            part.sort(key=lambda one: first[id(one[1].picture)])
        lengths = (prompt_tokens(loaded, s.prompt, s.picture) for _, s in part)
        for rows in in_batches(loaded, lengths, len(part)):
            groups.append(_group(loaded, part[rows], layer))
    return groups


def _group(
    loaded: LoadedModel, part: Sequence[tuple[int, Sample]], layer: int
) -> tuple[Suffix, torch.Tensor]:
    questions = [(s.prompt, s.picture) for _, s in part]
    answers = [answer_ids(loaded, s.target) for _, s in part]
    suffix = read_prompts(loaded, questions, answers, layer, at_once=True)
    return suffix, torch.tensor([n for n, _ in part], device=loaded.device)


def edit_of(samples: Sequence[Sample]) -> Sample:
    """The edit among a fact's samples."""
    return next(sample for sample in samples if sample.role == "edit")
