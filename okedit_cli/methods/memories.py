"""What methods that remember facts have in common: the memory of their texts and pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.edits.memory import Memory, put
from okedit_cli.encoders.text import DEFAULT, text_vectors, width_of
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import load_picture
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.models.encode import encode_row
from okedit_cli.models.features import look_vectors, vector_width

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel


def remembered(
    loaded: LoadedModel, facts: Sequence[Fact], options: Options, site: Mapping[str, Any], confirm: bool
) -> Computed:
    """A memory with a key [d] of each fact's prompt, and one [p] of each of its pictures. `site` is what the
    method tells of how facts are put (edits/memory.py).

    UsageError: a fact that the model cannot read so; InvalidFacts: a picture that cannot be read.
    """
    if options.image_encoder:
        raise UsageError(
            "A text memory knows pictures by the model's own tower, so that --image-encoder has no part.",
            hint="Leave it out, or use balancedit.",
        )
    encoder = options.text_encoder or DEFAULT
    site = {"text_encoder": encoder, **site}
    samples_of, keys, pictures, owner, seconds = sampler_for(loaded, facts, options), [], [], [], {}
    for number, fact in enumerate(facts):
        began = time.perf_counter()
        options.tell("fitting facts", number, len(facts))
        own = [load_picture(path) for path in (fact.image, *fact.images) if path is not None]
        _check_length(loaded, fact, site, own[0] if own else None)
        keys.append(text_vectors([fact.prompt], encoder))
        if own:
            pictures.append(look_vectors(loaded, own))
            owner += [number] * len(own)
        seconds[fact.id] = time.perf_counter() - began
    options.tell("fitting facts", len(facts), len(facts))
    seen = torch.cat([torch.zeros(0, vector_width(loaded)), *pictures])
    memory = Memory(
        torch.cat([torch.zeros(0, width_of(encoder)), *keys]), seen, torch.tensor(owner, dtype=torch.int64),
        confirm,
    )  # fmt: skip
    return Computed(
        memory, site, asdict(options.settings) | {"seed": options.seed}, list(facts),
        {fact.id: samples_of(fact) for fact in facts}, {fact.id: Scope.none() for fact in facts}, seconds,
        verbatim=False,
    )  # fmt: skip


def _check_length(loaded: LoadedModel, fact: Fact, site: Mapping[str, Any], picture: Any) -> None:
    """UsageError where the fact's own prompt, put as it will be, is more than the model reads."""
    prompt = put(site, {"prompt": fact.prompt, "answer": fact.answer}, fact.prompt)
    try:
        encode_row(loaded, prompt, picture)
    except UsageError as error:
        few = "with fewer demonstrations (--set k=N)" if site.get("demonstrations") else "in fewer words"
        raise UsageError(
            f"Fact {fact.id} cannot be put before its question: {error.message}", hint=f"Put it {few}."
        ) from None
