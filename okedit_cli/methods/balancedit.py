"""BalancEdit with a scope in two channels: keys, radii between positives and near negatives, low-rank values.

After BalancEdit (ICML 2025, arXiv 2505.01343). Kept: a codebook, a radius between a positive and a negative
side, the nearest key wins, the base model frozen. Changed: picture and question are judged apart, in
measured spaces, from the prompt alone; negatives are near; every edit has its own radius and its own low-
rank value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from okedit_cli.encoders import text
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import held_bytes
from okedit_cli.methods.admitted import admitted
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.keys import (
    BALANCE,
    Reach,
    judged,
    picture_reach,
    pictures_of,
    question_reach,
    unique,
    unjudged,
)
from okedit_cli.methods.registry import Method
from okedit_cli.methods.spaces import Spaces, spaces_of
from okedit_cli.methods.stacking import stack, stack_views
from okedit_cli.methods.values import RANK, RATE, STEPS, Values, by_itself, fit_values, joined
from okedit_cli.models.features import forget_looks, look_together
from okedit_cli.models.mini.pictures import has_learned_map
from okedit_cli.models.sites import answering_layers, decoder_layers
from okedit_cli.samples.sampler import Sample, Sampler, checked
from okedit_cli.scope.reach import KIND, reach_of
from okedit_cli.scope.views import encode_view

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

KEY_LAYER = -2  # below every layer: questions are read by an encoder
DEPTH = 0.93  # of the decoder: where values act unless told
TOGETHER = 36  # facts whose samples are in memory at a time, unless their pictures are large
PICTURE_BYTES = 1 << 30  # of the pictures of these


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Samples, spaces, keys and radii, then values for the facts that have a radius (all with `force`)."""
    spaces = spaces_of(loaded, options)
    layer = value_layer(loaded, options.layer)
    samples_of = sampler_for(loaded, facts, options, spaces)
    parts: list[_Part] = []
    start = 0
    while start < len(facts) or not parts:  # of no facts one part without any
        options.tell("fitting facts", start, len(facts))
        samples = _some(facts[start : start + TOGETHER], samples_of)
        part = facts[start : start + len(samples)]

        def done(count: int, before: int = start) -> None:
            options.tell("fitting facts", before + count, len(facts))

        parts.append(_fit_part(loaded, spaces, part, samples, layer, options, done))
        start += len(part)
    options.tell("fitting facts", len(facts), len(facts))
    kept = [fact for part in parts for fact in part.kept]
    values = joined([part.values for part in parts])
    book = stack(spaces, [reach for part in parts for reach in part.reaches], values)
    book.thumbnails, book.thumbnail_owner = stack_views([views for part in parts for views in part.views])
    samples, scopes, seconds, reaches = (
        {name: row for part in parts for name, row in getattr(part, table).items()}
        for table in ("samples", "scopes", "seconds", "kinds")
    )
    site = {
        "key_layer": KEY_LAYER,
        "question_point": "question encoder",
        "text_encoder": spaces.encoder,
        "picture_point": spaces.point if spaces.picture is not None else "none",
        "value_layer": layer,
        "point": "layer output",
    }
    settings = {
        "balance": BALANCE,
        "rank": values.down.shape[1],
        "steps": STEPS,
        "rate": RATE,
        "seed": options.seed,
        "picture_radius": round(spaces.kind, 6) if spaces.picture is not None else None,
    }
    reference = {}
    if spaces.picture is not None and len(spaces.picture.mean):  # a shipped map has its own
        reference = {"reference_pictures": spaces.bank_pictures.half()}
    return Computed(
        book, site, settings, list(kept), samples, scopes, seconds, *canary(spaces, loaded),
        notes=gives_context(loaded, options.context), reaches=reaches, extras=reference,
        verbatim="verbatim" not in options.without,
    )  # fmt: skip


def _some(facts: Sequence[Fact], samples_of: Callable[[Fact], list[Sample]]) -> dict[str, list[Sample]]:
    """Samples of the first facts by their ids, of as many as memory is for the views of their pictures."""
    out: dict[str, list[Sample]] = {}
    size = 0
    for fact in facts:
        out[fact.id] = samples_of(fact)
        size += sum(held_bytes(p) for p in unique([s.picture for s in out[fact.id]]))
        if size > PICTURE_BYTES:
            break
    return out


@dataclass(frozen=True)
class _Part:
    """What became of a few facts: those kept with their reaches, pictures and values, and of all of them by
    id the samples that are still looked at, scopes, seconds and whether they are about a kind or one
    picture.
    """

    kept: list[Fact]
    reaches: list[tuple[Reach, Reach | None]]
    views: list[list[bytes]]  # of each one kept: its pictures, small
    values: Values
    samples: dict[str, list[Sample]]
    scopes: dict[str, Scope]
    seconds: dict[str, float]
    kinds: dict[str, str]


def _fit_part(
    loaded: LoadedModel,
    spaces: Spaces,
    facts: Sequence[Fact],
    samples: dict[str, list[Sample]],
    layer: int,
    options: Options,
    done: Callable[[int], None],
) -> _Part:
    """Scopes of a few facts, and values of those that have a radius."""
    views = [s.picture for rows in samples.values() for s in rows if s.origin == "transform"]
    reaches, scopes, seconds, kinds = {}, {}, {}, {}
    for fact in facts:
        began, picture = time.perf_counter(), None
        if fact.image is not None:
            kinds[fact.id] = reach_of(fact.prompt, fact.reach)
            _look(loaded, samples[fact.id])
            picture = picture_reach(loaded, spaces, kinds[fact.id] == KIND, samples[fact.id])
        reaches[fact.id] = question_reach(fact, spaces.encoder, spaces.text_radius), picture
        scopes[fact.id] = judged(*reaches[fact.id], unjudged(fact, spaces.encoder))
        seconds[fact.id] = time.perf_counter() - began
    kept = [fact for fact in facts if scopes[fact.id].exists or options.force]
    taught = [samples[f.id] for f in kept]
    if "admitted" not in options.without:
        taught = [[*rows, *admitted(f, rows, spaces)] for f, rows in zip(kept, taught, strict=True)]
    rank = 1 if "rank" in options.without else RANK
    values, spent = fit_values(
        loaded, taught, layer, seed=options.seed, rank=rank, places="places" not in options.without, done=done
    )
    for fact, took in zip(kept, spent, strict=True):
        seconds[fact.id] += took
    forget_looks(loaded, views)  # which were made for this part alone
    lasting = {name: checked(rows) for name, rows in samples.items()}
    small = [
        [encode_view(np.asarray(p.convert("RGB"))) for p in pictures_of(samples[f.id], "user")] for f in kept
    ]
    return _Part(kept, [reaches[f.id] for f in kept], small, values, lasting, scopes, seconds, kinds)


def _look(loaded: LoadedModel, samples: Sequence[Sample]) -> None:
    """Look at the pictures of a fact's samples, many at a time; where it is to come out the same whatever is
    fitted beside it, at its own views, and at others when they are asked for.
    """
    alone = by_itself(loaded)
    look_together(loaded, unique([s.picture for s in samples if s.origin == "transform" or not alone]))


def gives_context(loaded: LoadedModel, wanted: str) -> bool:
    """Whether the model is told a fact that an answer follows from: by itself only where that was measured
    to help.
    """
    return wanted == "on" or (wanted == "auto" and has_learned_map(loaded))


def sampler_for(
    loaded: LoadedModel, facts: Sequence[Fact], options: Options, spaces: Spaces | None = None
) -> Callable[[Fact], list[Sample]]:
    """What makes a fact's samples; for a text-only model none with a picture, and UsageError for a fact with
    one.
    """
    looking = {}
    if spaces is not None and spaces.picture is not None:

        def nearest(picture) -> list[int]:
            away = torch.linalg.vector_norm(spaces.bank_pictures - spaces.keys(loaded, [picture]), dim=1)
            return away.argsort().tolist()

        looking = {"nearest": nearest}
        if not by_itself(loaded):
            looking["meet"] = lambda pictures: look_together(loaded, pictures)
    sampler = Sampler(facts, seed=options.seed, among=options.among, **looking)
    if loaded.processor is not None:
        return sampler.of
    blind = next((fact for fact in facts if fact.image is not None), None)
    if blind is not None:
        raise UsageError(
            f"Fact {blind.id} has a picture, and {loaded.name} is a text-only model.",
            hint="Leave its image out, or use a vision-language model such as okedit-mini.",
        )
    return lambda fact: [sample for sample in sampler.of(fact) if sample.picture is None]


def value_layer(loaded: LoadedModel, layer: int | str) -> int:
    """The layer whose feed-forward output is changed; UsageError for one that the model has not."""
    count, answering = len(decoder_layers(loaded.model)), answering_layers(loaded.model)
    if layer == "auto":
        return max(one for one in answering if one <= max(answering[0], round(DEPTH * count)))
    if int(layer) not in answering:
        others = "" if len(answering) == count else ", one that every prompt runs through"
        raise UsageError(
            f"Layer {layer} cannot carry edits of {loaded.name}.",
            hint=f"Take one from 0 to {count - 1}{others}.",
        )
    return int(layer)


def canary(spaces: Spaces, loaded: LoadedModel) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Keys of the bank's first questions and pictures, which attach compares (bundle/canary.py)."""
    from okedit_cli.bank import load_bank

    bank = load_bank()
    texts = [group.wordings[0] for group in bank.questions[:8]]
    rows = [{"kind": "question", "prompt": words} for words in texts]
    tensors = {"canary_question": text.text_vectors(texts, spaces.encoder)}
    if spaces.picture is not None:
        shown = bank.pictures[:4]
        tensors["canary_picture"] = spaces.keys(loaded, [p.image for p in shown])
        rows += [{"kind": "picture", "name": p.name} for p in shown]
    return tensors, rows


METHOD = Method(
    "balancedit",
    "codebook",
    compute,
    "keys and radii in two channels, a low-rank value an edit",
    "BalancEdit, ICML 2025 (arXiv 2505.01343)",
    costs="about a second a fact on two cores, 0.1 to 0.3 MB a fact",
    spaced=True,
)
