"""What an edit is recognised by: a vector of the picture and one of the question.

The question is read without picture, template or padding, so that its vector depends on its words only: by
the sentence encoder (layer SENTENCES), or by the model's own first layers. The picture is read where its
tokens enter the decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.sentences import WIDTH, sentence_features
from okedit_cli.models.sites import decoder, decoder_layers, hidden_size, image_token_id

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

SENTENCES = -1  # the "layer" below every layer: the sentence encoder
# Image tokens are pooled in two halves: models that order them by kind or by place keep that apart.
HALVES = 2
BATCH = 32


class _Stop(Exception):
    """Everything that was wanted has been read."""


def hidden_of(args: tuple, kwargs: dict) -> torch.Tensor:
    """A decoder layer's input [B, L, d], however its model passes it."""
    return args[0] if args else kwargs["hidden_states"]


@contextmanager
def reading(
    layers: Sequence[torch.nn.Module], wanted: Sequence[int], last: int
) -> Iterator[dict[int, torch.Tensor]]:
    """Collect the inputs of the wanted layers; the forward pass ends at layer `last`."""
    found: dict[int, torch.Tensor] = {}

    def reader(index: int):
        def hook(module, args, kwargs):
            if index in wanted:
                found[index] = hidden_of(args, kwargs).detach()
            if index == last:
                raise _Stop

        return hook

    handles = [layers[i].register_forward_pre_hook(reader(i), with_kwargs=True) for i in {*wanted, last}]
    try:
        yield found
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()


def question_feature(loaded: LoadedModel, ids: Sequence[int], layer: int) -> torch.Tensor:
    """A question's vector [d], fp32, on the CPU: the sentence encoder's (layer SENTENCES), or the mean over
    its tokens of the input of decoder layer `layer`.
    """
    if not ids:
        return torch.zeros(WIDTH if layer == SENTENCES else hidden_size(loaded.model))
    known = loaded.cache.setdefault("question_features", {})
    key = (layer, tuple(ids))
    if key not in known:
        if len(known) > 50_000:
            known.clear()
        known[key] = question_layers(loaded, [ids], [layer])[layer][0]
    return known[key]


@torch.no_grad()
def question_layers(
    loaded: LoadedModel, questions: Sequence[Sequence[int]], wanted: Sequence[int]
) -> dict[int, torch.Tensor]:
    """Token means of many questions at several layers at once: layer -> [n, d], fp32, on the CPU."""
    out: dict[int, list[torch.Tensor]] = {layer: [] for layer in wanted}
    if SENTENCES in wanted:
        texts = [loaded.tokenizer.decode(q, clean_up_tokenization_spaces=False).strip() for q in questions]
        out[SENTENCES].append(sentence_features(texts))
    wanted = [layer for layer in wanted if layer != SENTENCES]
    if not wanted:
        return {layer: torch.cat(parts) for layer, parts in out.items()}
    layers, root = decoder_layers(loaded.model), decoder(loaded.model)
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        longest = max(map(len, part))
        ids = torch.tensor([[*q, *[0] * (longest - len(q))] for q in part], device=loaded.device)
        mask = torch.tensor([[1] * len(q) + [0] * (longest - len(q)) for q in part], device=loaded.device)
        with reading(layers, wanted, max(wanted)) as found:
            root(input_ids=ids, attention_mask=mask, use_cache=False)
        for layer in wanted:
            states = found[layer].float() * mask[..., None]
            out[layer].append((states.sum(1) / mask.sum(1, keepdim=True)).cpu())
    return {layer: torch.cat(parts) for layer, parts in out.items()}


def pooled_picture(states: torch.Tensor, ids: torch.Tensor, placeholder: int | None) -> torch.Tensor | None:
    """One row's picture vector [2 d] from decoder inputs [L, d] and ids [L]; None without a picture."""
    if placeholder is None:
        return None
    tokens = states[ids == placeholder].float()
    if not len(tokens):
        return None
    halves = tokens.tensor_split(HALVES) if len(tokens) >= HALVES else [tokens] * HALVES
    return torch.cat([half.mean(0) for half in halves]).cpu()


@torch.no_grad()
def picture_features(loaded: LoadedModel, pictures: Sequence[Image]) -> torch.Tensor:
    """Picture vectors [n, 2 d], fp32, on the CPU."""
    layers, out = decoder_layers(loaded.model), []
    for picture in pictures:  # one at a time: what attach reads for a single question is the same number
        batch = join_rows(loaded, [encode_row(loaded, "?", picture)])
        with reading(layers, [0], 0) as found:
            loaded.model(**batch, use_cache=False)
        out.append(pooled_picture(found[0][0], batch["input_ids"][0], image_token_id(loaded.model)))
    return torch.stack(out)
