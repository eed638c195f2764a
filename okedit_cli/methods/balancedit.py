"""BalancEdit with a scope in two channels: keys, radii between positives and near negatives, low-rank values.

After BalancEdit (ICML 2025, arXiv 2505.01343). Kept: a codebook, a radius between a positive and a negative
side, the nearest key wins, the base model frozen. Changed: picture and question are judged apart, in
measured spaces, from the prompt alone; negatives are near; every edit has its own radius and its own low-
rank value.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.codebook import Codebook
from okedit_cli.errors import UsageError
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.scope import BALANCE, KEYS, TWIN, Reach, reach
from okedit_cli.methods.spaces import Spaces, question_ids, spaces_of
from okedit_cli.methods.values import KEEP, RANK, RATE, STEPS, fit_values
from okedit_cli.models.features import SENTENCES, picture_features, question_feature
from okedit_cli.models.sites import decoder_layers
from okedit_cli.samples import Sample, build_samples
from okedit_cli.wording import normal

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

DEPTH = 0.6  # of the decoder: where values act unless told


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Samples, spaces, keys and radii, then values for the facts that have a radius (all with `force`)."""
    spaces = spaces_of(loaded, options)
    layer = value_layer(loaded, options.layer, spaces.layer)
    eye = Eye(loaded, spaces)
    samples = samples_for(loaded, facts, options.seed, eye.nearest if spaces.picture else None)
    reaches, scopes, seconds = {}, {}, {}
    for number, fact in enumerate(facts):
        began = time.perf_counter()
        options.tell("measuring scopes", number, len(facts))
        reaches[fact.id] = question, picture = scope_channels(eye, fact, samples[fact.id])
        scopes[fact.id] = judged(question, picture)
        seconds[fact.id] = time.perf_counter() - began
    options.tell("measuring scopes", len(facts), len(facts))
    kept = [fact for fact in facts if scopes[fact.id].exists or options.force]
    values, spent = fit_values(
        loaded,
        [samples[f.id] for f in kept],
        layer,
        seed=options.seed,
        done=lambda n: options.tell("fitting facts", n, len(kept)),
    )
    for fact, took in zip(kept, spent, strict=True):
        seconds[fact.id] += took
    book = stack(loaded, spaces, [reaches[f.id] for f in kept], values)
    site = {
        "key_layer": spaces.layer,
        "question_point": "sentence encoder" if spaces.layer == SENTENCES else "decoder layer",
        "picture_point": "decoder input",
        "value_layer": layer,
        "point": "feed-forward output",
    }
    settings = {
        "balance": BALANCE,
        "keys": KEYS,
        "rank": RANK,
        "steps": STEPS,
        "rate": RATE,
        "keep": KEEP,
        "seed": options.seed,
        "question_separation": round(spaces.question.separation, 4),
        "picture_separation": round(spaces.picture.separation, 4) if spaces.picture else None,
    }
    return Computed(book, site, settings, list(kept), samples, scopes, seconds, *canary(eye, loaded))


def samples_for(loaded: LoadedModel, facts: Sequence[Fact], seed: int, nearest) -> dict[str, list[Sample]]:
    """The facts' samples; for a text-only model none with a picture, and UsageError for a fact with one."""
    samples = build_samples(facts, seed=seed, nearest=nearest)
    if loaded.processor is not None:
        return samples
    blind = next((fact for fact in facts if fact.image is not None), None)
    if blind is not None:
        raise UsageError(
            f"Fact {blind.id} has a picture, and {loaded.name} is a text-only model.",
            hint="Leave its image out, or use a vision-language model such as okedit-mini.",
        )
    return {name: [s for s in rows if s.picture is None] for name, rows in samples.items()}


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


class Eye:
    """Keys of questions and pictures in the model's spaces, each computed once."""

    def __init__(self, loaded: LoadedModel, spaces: Spaces):
        self.loaded, self.spaces = loaded, spaces
        self._pictures: dict[int, tuple[object, torch.Tensor]] = {}

    def question(self, text: str) -> torch.Tensor:
        """Key [r] of a question."""
        return self.spaces.question(
            question_feature(self.loaded, question_ids(self.loaded, text), self.spaces.layer)
        )

    def picture(self, picture) -> torch.Tensor:
        """Key [r] of a picture."""
        if (
            id(picture) not in self._pictures
        ):  # the picture is kept as well: its id must not be given out again
            self._pictures[id(picture)] = (
                picture,
                self.spaces.picture(picture_features(self.loaded, [picture])[0]),
            )
        return self._pictures[id(picture)][1]

    def nearest(self, picture) -> list[int]:
        """The bank's pictures by distance, near first."""
        return (
            torch.linalg.vector_norm(self.spaces.bank_pictures - self.picture(picture), dim=1)
            .argsort()
            .tolist()
        )


def scope_channels(eye: Eye, fact: Fact, samples: Sequence[Sample]) -> tuple[Reach, Reach | None]:
    """Question and picture channel of one fact; a text-only fact leaves the picture channel open (None)."""
    inside = [s for s in samples if s.role in ("edit", "positive")]
    outside = [s for s in samples if s.role == "negative"]
    asked = list(dict.fromkeys(s.prompt for s in inside))
    known = {normal(text) for text in asked}
    # Only questions about the picture of the edit have to be told apart by their words.
    others = [
        s.prompt for s in outside if s.cell.split("/")[1] == "other" and s.cell.split("/")[0] != "other"
    ]
    others = [text for text in dict.fromkeys(others) if normal(text) not in known]
    negatives = torch.stack([eye.question(text) for text in others]) if others else torch.zeros(0, 1)
    question = reach(torch.stack([eye.question(text) for text in asked]), negatives)
    if fact.image is None:
        return question, None
    seen = unique([s.picture for s in inside if s.picture is not None])
    shown = unique([s.picture for s in outside if s.picture is not None and s.cell.startswith("other")])
    keys = torch.stack([eye.picture(p) for p in seen])
    far = [eye.picture(p) for p in shown]
    return question, reach(keys, torch.stack(far) if far else torch.zeros(0, keys.shape[1]))


def unique(pictures: Sequence) -> list:
    """The same picture objects once, in order."""
    return list({id(p): p for p in pictures}.values())


def judged(question: Reach, picture: Reach | None) -> Scope:
    """The channel that binds, and what is to be said when no radius exists."""
    channels = [("question", question)] + ([("picture", picture)] if picture else [])
    channel, found = max(channels, key=lambda c: c[1].d_pos / c[1].d_neg if c[1].d_neg > 0 else float("inf"))
    note = ""
    if not found.exists:
        sides = f"d_pos {found.d_pos:.3g} >= d_neg {found.d_neg:.3g}"
        note = f"this fact will over-reach: in the {channel} channel {sides}"
    return Scope(channel, found.d_pos, found.d_neg, found.radius, note)


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
