"""BalancEdit with a scope in two channels: keys, radii between positives and near negatives, low-rank values.

After BalancEdit (ICML 2025, arXiv 2505.01343). Kept: a codebook, a radius between a positive and a negative
side, the nearest key wins, the base model frozen. Changed: picture and question are judged apart, in
measured spaces, from the prompt alone; negatives are near; every edit has its own radius and its own low-
rank value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.codebook import Codebook
from okedit_cli.errors import UsageError
from okedit_cli.methods.admitted import admitted
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.channels import judged, scope_channels
from okedit_cli.methods.eye import Eye, unique, with_owners
from okedit_cli.methods.scope import BALANCE, KEYS, TWIN, Reach
from okedit_cli.methods.spaces import Spaces, spaces_of
from okedit_cli.methods.values import RANK, RATE, STEPS, Values, fit_values, joined
from okedit_cli.models.features import QUESTIONS, SENTENCES, forget_looks, look_together
from okedit_cli.models.recognition import NAMED
from okedit_cli.models.sites import decoder_layers
from okedit_cli.samples import Sample, Sampler, checked

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

_POINTS = {QUESTIONS: "question encoder", SENTENCES: "sentence encoder"}
DEPTH = 0.93  # of the decoder: where values act unless told
TOGETHER = 36  # facts whose samples are in memory at a time


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Samples, spaces, keys and radii, then values for the facts that have a radius (all with `force`)."""
    spaces, without = spaces_of(loaded, options), options.without
    layer = value_layer(loaded, options.layer, spaces.layer)
    eye = Eye(loaded, spaces)
    samples_of = sampler_for(loaded, facts, options.seed, eye if spaces.picture else None)
    parts: list[_Part] = []
    for start in range(0, max(1, len(facts)), TOGETHER):  # of no facts one part without any
        options.tell("fitting facts", start, len(facts))
        part = facts[start : start + TOGETHER]
        samples = {fact.id: samples_of(fact) for fact in part}

        def done(count: int, before: int = start) -> None:
            options.tell("fitting facts", before + count, len(facts))

        parts.append(_fit_part(eye, part, samples, layer, options, done))
    options.tell("fitting facts", len(facts), len(facts))
    kept = [fact for part in parts for fact in part.kept]
    values = joined([part.values for part in parts])
    book = stack(loaded, spaces, [reach for part in parts for reach in part.reaches], values)
    if "thumbnails" not in without:
        small = [rows for part in parts for rows in part.thumbnails]
        book.thumbnails, book.thumbnail_owner = with_owners(small)
    samples, scopes, seconds = (
        {name: row for part in parts for name, row in getattr(part, table).items()}
        for table in ("samples", "scopes", "seconds")
    )
    site = {
        "key_layer": spaces.layer,
        "question_point": _POINTS.get(spaces.layer, "decoder layer"),
        "picture_point": NAMED,
        "value_layer": layer,
        "point": "feed-forward output",
    }
    settings = {
        "balance": BALANCE,
        "keys": 1 if "keys" in without else KEYS,
        "rank": values.down.shape[1],
        "steps": STEPS,
        "rate": RATE,
        "seed": options.seed,
        "question_reach": round(spaces.question_reach, 6),
        "picture_unit": round(spaces.picture_unit, 6) if spaces.picture else None,
        "picture_reaches": list(astuple(spaces.reaches)) if spaces.picture else None,
        "question_separation": round(spaces.question.separation, 4),
        "picture_separation": round(spaces.picture.separation, 4) if spaces.picture else None,
    }
    return Computed(
        book, site, settings, list(kept), samples, scopes, seconds, *canary(eye, loaded),
        outer="outer" not in without, whom="whom" not in without,
    )  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """What became of a few facts: those kept with their reaches and values, and of all of them by id the
    samples that are still looked at, scopes and seconds.
    """

    kept: list[Fact]
    reaches: list[tuple[Reach, Reach | None]]
    thumbnails: list[torch.Tensor]  # of each one kept
    values: Values
    samples: dict[str, list[Sample]]
    scopes: dict[str, Scope]
    seconds: dict[str, float]


def _fit_part(
    eye: Eye,
    facts: Sequence[Fact],
    samples: dict[str, list[Sample]],
    layer: int,
    options: Options,
    done: Callable[[int], None],
) -> _Part:
    """Scopes of a few facts, and values of those that have a radius."""
    views = [s.picture for rows in samples.values() for s in rows if s.origin == "transform"]
    if eye.spaces.picture is not None:
        eye.recognise(samples)
        look_together(eye.loaded, unique(views))
    reaches, scopes, seconds = {}, {}, {}
    without = options.without
    for fact in facts:
        began = time.perf_counter()
        reaches[fact.id] = question, picture = scope_channels(eye, fact, samples[fact.id], without)
        scopes[fact.id] = judged(question, picture)
        seconds[fact.id] = time.perf_counter() - began
    kept = [fact for fact in facts if scopes[fact.id].exists or options.force]
    taught = [samples[f.id] for f in kept]
    if "admitted" not in without:
        more = (admitted(f, samples[f.id], eye.spaces, reaches[f.id][0]) for f in kept)
        taught = [[*rows, *added] for rows, added in zip(taught, more, strict=True)]
    rank = 1 if "rank" in without else RANK
    values, spent = fit_values(
        eye.loaded, taught, layer, seed=options.seed, rank=rank, places="places" not in without, done=done
    )
    for fact, took in zip(kept, spent, strict=True):
        seconds[fact.id] += took
    forget_looks(eye.loaded, views)  # which were made for this part alone
    lasting = {name: checked(rows) for name, rows in samples.items()}
    small = [eye.thumbnails(fact, samples[fact.id]) for fact in kept]
    return _Part(kept, [reaches[f.id] for f in kept], small, values, lasting, scopes, seconds)


def sampler_for(
    loaded: LoadedModel, facts: Sequence[Fact], seed: int, eye: Eye | None = None
) -> Callable[[Fact], list[Sample]]:
    """What makes a fact's samples; for a text-only model none with a picture, and UsageError for a fact with
    one.
    """
    looking = {} if eye is None else {"nearest": eye.nearest, "meet": eye.meet}
    sampler = Sampler(facts, seed=seed, **looking)
    if loaded.processor is not None:
        return sampler.of
    blind = next((fact for fact in facts if fact.image is not None), None)
    if blind is not None:
        raise UsageError(
            f"Fact {blind.id} has a picture, and {loaded.name} is a text-only model.",
            hint="Leave its image out, or use a vision-language model such as okedit-mini.",
        )
    return lambda fact: [sample for sample in sampler.of(fact) if sample.picture is None]


def value_layer(loaded: LoadedModel, layer: int | str, key_layer: int) -> int:
    """The layer whose feed-forward output is changed; UsageError when it is not above the key layer."""
    count = len(decoder_layers(loaded.model))
    if layer == "auto":
        return min(count - 1, max(key_layer + 1, round(DEPTH * count)))
    if not key_layer < int(layer) < count:
        raise UsageError(
            f"Layer {layer} cannot carry edits of {loaded.name}.",
            hint=f"Take one from {key_layer + 1} to {count - 1}: keys are read at layer {key_layer}.",
        )
    return int(layer)


def stack(
    loaded: LoadedModel, spaces: Spaces, reaches: Sequence[tuple[Reach, Reach | None]], values
) -> Codebook:
    """All rows as one codebook; spaces and values in half precision, keys and radii in full."""

    def column(channel: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        keys, owner, radius = [torch.zeros(0, width)], [], []
        for row, pair in enumerate(reaches):
            found = pair[channel]
            if found is None:
                radius.append(float("inf"))
                continue
            keys.append(found.keys)
            owner += [row] * len(found.keys)
            # without a radius the fact was forced: it covers its positives, and over-reaches
            radius.append(found.radius if found.exists else max(found.d_pos, TWIN))
        return (
            torch.cat(keys).float(),
            torch.tensor(owner, dtype=torch.int64),
            torch.tensor(radius, dtype=torch.float32),
        )

    q_keys, q_owner, q_radius = column(0, spaces.question.projection.shape[1])
    shape = spaces.picture.projection.shape if spaces.picture else (1, 1)
    p_keys, p_owner, p_radius = column(1, shape[1])
    picture = spaces.picture
    return Codebook(
        picture.mean if picture else torch.zeros(1),
        picture.projection if picture else torch.zeros(1, 1),
        spaces.question.mean,
        spaces.question.projection,
        p_keys,
        p_owner,
        q_keys,
        q_owner,
        p_radius,
        q_radius,
        values.down.half(),
        values.up.half(),
        values.bias.half(),
    )


def canary(eye: Eye, loaded: LoadedModel) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Keys of the bank's first questions and pictures, which attach compares (bundle/canary.py)."""
    from okedit_cli.bank import load_bank

    bank = load_bank()
    texts = [group.wordings[0] for group in bank.questions[:8]]
    rows = [{"kind": "question", "prompt": text} for text in texts]
    tensors = {"canary_question": torch.stack([eye.question(text) for text in texts])}
    if eye.spaces.picture is not None:
        shown = bank.pictures[:4]
        tensors["canary_picture"] = torch.stack([eye.picture(p.image) for p in shown])
        rows += [{"kind": "picture", "name": p.name} for p in shown]
    return tensors, rows
