"""BalancEdit as published (ICML 2025, arXiv 2505.01343), for comparison: one key, one radius, a tuned layer.

Kept as the paper has it: the site is the last decoder layer; the key is the mean, over all positions of the
prompt with its picture, of what that layer's linear map receives; distance is Euclidean; the positive is the
same picture with one rephrasing, the negative the same question about a black picture; the radius is d_pos +
t (d_neg - d_pos), and nothing checks whether there should be one; the nearest key answers within its radius;
the value is tuned on the edit's answer alone, with Adam, 50 steps at 1e-4.

What differs, and why:
- The key is of the prompt without the answer: the released code pools over the teacher-forced answer too,
  which is not there when a question is asked. t is 0.8: alpha 0.2 in the code's (1 - alpha) d_neg +
  alpha d_pos.
- The tuned map stands beside the whole feed-forward part, from its input to its output, not in the place of
  its first linear map: a bundle's values are affine changes of that output. It is kept by its singular
  values above 1 % of the largest, 64 at most, and acts from the prompt's last token on, not on all of it.
- Every edit has its own map and radius; in the released code all share one map, and each edit overwrites the
  radii of all. Facts are fitted independently: that a new fact goes on from the value of an old one that
  overlaps it, or replaces it, is left to merging (which replaces).
- The published rate is for decoders of width 4096; in narrower ones it grows until 50 steps are enough there.
- The paper has no facts in words alone: theirs take the question "?" for a negative.
- Of several edits the one nearest in radii wins, as in every bundle; the paper takes the nearest key, and
  nothing fires where that one is out of its radius.
- The key stands in the codebook's question channel with the picture channel open. The bundle carries no
  reference keys, so that only the fingerprint tells whether a model is the one it was made with.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from okedit_cli.edits.codebook import Codebook
from okedit_cli.errors import UsageError
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.layer_copy import STEPS, fit_copies, rate_for
from okedit_cli.methods.registry import Method
from okedit_cli.methods.values import Values
from okedit_cli.methods.whole_prompt import WHOLE, prompt_feature
from okedit_cli.models.sites import decoder_layers, hidden_size

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples.sampler import Sample

BALANCE = 0.8  # t: 0 is the positive, 1 the negative
NOTHING = "?"  # the question that says nothing


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """Keys and radii, then values; every fact is kept, as published."""
    layer, width = site_layer(loaded, options.layer), hidden_size(loaded.model)
    samples_of = sampler_for(loaded, facts, options)
    samples = {fact.id: samples_of(fact) for fact in facts}
    keys, scopes, seconds = [torch.zeros(0, width)], {}, {}
    for number, fact in enumerate(facts):
        began = time.perf_counter()
        options.tell("measuring scopes", number, len(facts))
        key, scopes[fact.id] = key_and_scope(loaded, samples[fact.id], layer)
        keys.append(key[None])
        seconds[fact.id] = time.perf_counter() - began
    options.tell("measuring scopes", len(facts), len(facts))
    values, spent = fit_copies(
        loaded,
        [samples[fact.id][0] for fact in facts],
        layer,
        done=lambda n: options.tell("fitting facts", n, len(facts)),
    )
    for fact, took in zip(facts, spent, strict=True):
        seconds[fact.id] += took
    book = stack(loaded, torch.cat(keys), [scopes[fact.id].radius for fact in facts], values)
    site = {
        "key_layer": layer,
        "question_point": WHOLE,
        "picture_point": "none",
        "value_layer": layer,
        "point": "feed-forward output",
    }
    settings = {
        "balance": BALANCE,
        "keys": 1,
        "rank": values.down.shape[1],
        "steps": STEPS,
        "rate": rate_for(width),
        "seed": options.seed,
    }
    return Computed(book, site, settings, list(facts), samples, scopes, seconds, verbatim=False)


def site_layer(loaded: LoadedModel, layer: int | str) -> int:
    """The layer where keys are read and values act: the last unless told. UsageError: no such layer."""
    count = len(decoder_layers(loaded.model))
    if layer == "auto":
        return count - 1
    if not 0 <= int(layer) < count:
        raise UsageError(
            f"Layer {layer} cannot carry edits of {loaded.name}.", hint=f"Take one from 0 to {count - 1}."
        )
    return int(layer)


def key_and_scope(loaded: LoadedModel, samples: Sequence[Sample], layer: int) -> tuple[torch.Tensor, Scope]:
    """Key [d] of a fact, and its radius between one positive and one negative."""
    edit = samples[0]
    key = prompt_feature(loaded, edit.prompt, edit.picture, layer)

    def away(prompt: str, picture) -> float:
        return float(torch.linalg.vector_norm(prompt_feature(loaded, prompt, picture, layer) - key))

    near = next((s for s in samples if s.role == "positive" and s.picture is edit.picture), edit)
    d_pos, d_neg = away(near.prompt, near.picture), away(*negative_of(edit))
    why = ""
    if d_pos >= d_neg:
        why = (
            f"this fact may over-reach: a rewording lies {d_pos:.3g} away, and a question to be left alone no"
            f" farther, {d_neg:.3g}"
        )
    return key, Scope("whole prompt", d_pos, d_neg, d_pos + BALANCE * (d_neg - d_pos), why)


def negative_of(edit: Sample) -> tuple[str, object]:
    """The question about a black picture; of a fact in words alone, a question that says nothing."""
    from PIL import Image

    if edit.picture is None:
        return NOTHING, None
    return edit.prompt, Image.new("RGB", edit.picture.size, "black")


def stack(loaded: LoadedModel, keys: torch.Tensor, radii: Sequence[float], values: Values) -> Codebook:
    """A codebook with a key [d] an edit in the question channel, judged as it is; the picture channel is
    open.
    """
    width, count = hidden_size(loaded.model), len(keys)
    return Codebook(
        torch.zeros(0),
        torch.zeros(0, 1),
        torch.zeros(0),
        torch.zeros(0, width),
        torch.zeros(0, 1),
        torch.zeros(0, dtype=torch.int64),
        keys,
        torch.arange(count),
        torch.full((count,), float("inf")),
        torch.tensor(list(radii), dtype=torch.float32),
        values.down.half(),
        values.up.half(),
        values.bias.half(),
    )


METHOD = Method(
    "balancedit-paper",
    "codebook",
    compute,
    "one key and one radius of the whole prompt, a tuned linear map, as published",
    "BalancEdit, ICML 2025 (arXiv 2505.01343)",
    costs="about three seconds a fact on two cores",
)
