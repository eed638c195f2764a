"""What an edit is recognised by: a vector of the picture and one of the question.

The question is read without picture, template or padding, so that its vector depends on its words only: by
the sentence encoder (layer SENTENCES), or by the model's own first layers. The picture is read where its
tokens enter the decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bounded import Bounded
from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.mini.looks import learned_look
from okedit_cli.models.sentences import WIDTH, question_vectors, sentence_features
from okedit_cli.models.sites import decoder, decoder_layers, hidden_size, image_token_id
from okedit_cli.models.thumbnails import THUMBNAIL, thumbnails_of
from okedit_cli.pictures import held_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

SENTENCES = -1  # the "layer" below every layer: the sentence encoder as it is
QUESTIONS = -2  # the question encoder: the sentence encoder, taught which questions mean the same
# Image tokens are pooled in two halves: models that order them by kind or by place keep that apart.
HALVES = 2
BATCH, LOOKS = 32, 16
LOOK_IDS = 20_000  # pictures whose prompts' beginnings are remembered
LOOKS_BYTES = 256 << 20  # of looks and their pictures: thousands of small ones


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
    """A question's vector [d], fp32, on the CPU: an encoder's (layers SENTENCES, QUESTIONS), or the mean over
    its tokens of the input of decoder layer `layer`.
    """
    if not ids:
        return torch.zeros(WIDTH if layer < 0 else hidden_size(loaded.model))
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
    texts = [loaded.tokenizer.decode(q, clean_up_tokenization_spaces=False).strip() for q in questions]
    if SENTENCES in wanted:
        out[SENTENCES].append(sentence_features(texts))
    if QUESTIONS in wanted:
        out[QUESTIONS].append(question_vectors(texts))
    wanted = [layer for layer in wanted if layer >= 0]
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


def pooled_width(loaded: LoadedModel) -> int:
    """Numbers of a pooled picture."""
    return HALVES * hidden_size(loaded.model)


def look_vector(
    loaded: LoadedModel, states: torch.Tensor, ids: torch.Tensor, thumbnail: torch.Tensor | None = None
) -> torch.Tensor | None:
    """One row's look: its picture pooled [2 d], for a model that has one in its learned space behind, and
    its thumbnail [THUMBNAIL].
    """
    placeholder = image_token_id(loaded.model)
    pooled = pooled_picture(states, ids, placeholder)
    if pooled is None:
        return None
    small = torch.zeros(THUMBNAIL) if thumbnail is None else thumbnail
    return torch.cat([pooled, learned_look(loaded, states[ids == placeholder]), small])


@dataclass
class Look:
    """What a model sees of one picture: the decoder's input [1, p, d] up to its last placeholder, position
    ids as the model told its decoder (None: none), the picture's look_vector() on the CPU, the columns [P]
    of its placeholders (None: nobody told), and the p ids that were read.
    """

    embeds: torch.Tensor
    positions: torch.Tensor | None
    vector: torch.Tensor
    picture: Any  # kept, so that its id is not given out again
    name: str | None = None  # what the model calls it, once it was asked
    places: torch.Tensor | None = None
    ids: tuple[int, ...] = ()
    said: dict[str, str] = field(default_factory=dict)  # what the model says by itself to questions about it


@torch.no_grad()
def look(loaded: LoadedModel, row: dict[str, torch.Tensor], picture: Image) -> Look:
    """Look at a picture, once for all questions. `row` is encode_row's, up to its last placeholder."""
    known: Bounded = loaded.cache.setdefault("looks", Bounded())
    key = (id(picture), tuple(row["input_ids"][0].tolist()))
    if key not in known:
        [seen] = _look_at(loaded, [row], [picture])  # by itself: the same whoever is asked along
        known.put(key, seen, seen.embeds.nbytes + held_bytes(picture), LOOKS_BYTES)
    return known[key]


def look_of(loaded: LoadedModel, picture: Image) -> Look:
    """Look at a picture, once for all questions; what has been seen is not even made into pixels again."""
    if (seen := _seen(loaded, picture)) is None:
        seen = look(loaded, up_to_picture(loaded, encode_row(loaded, "?", picture)), picture)
        _remember(loaded, seen)
    return seen


def _seen(loaded: LoadedModel, picture: Image) -> Look | None:
    """The look at a picture, if it is kept."""
    ids = loaded.cache.get("look_ids", {}).get(id(picture))
    found = loaded.cache.get("looks", {}).get((id(picture), ids))
    return found if found is not None and found.picture is picture else None


def _remember(loaded: LoadedModel, seen: Look) -> None:
    kept = loaded.cache.setdefault("look_ids", {})
    if len(kept) >= LOOK_IDS:
        kept.clear()
    kept[id(seen.picture)] = seen.ids


def look_together(loaded: LoadedModel, pictures: Sequence[Image]) -> None:
    """Look at many pictures as batches. Quicker than one by one, and other than that by rounding: good for
    fitting.
    """
    known: Bounded = loaded.cache.setdefault("looks", Bounded())
    alike: dict[tuple, list[tuple[tuple, dict, Image]]] = {}
    for picture in pictures:
        if _seen(loaded, picture) is not None:
            continue
        row = up_to_picture(loaded, encode_row(loaded, "?", picture))
        shapes = tuple((name, tuple(value.shape)) for name, value in sorted(row.items()))
        alike.setdefault(shapes, []).append(
            ((id(picture), tuple(row["input_ids"][0].tolist())), row, picture)
        )
    for rows in alike.values():
        rows = [row for row in rows if row[0] not in known]
        for start in range(0, len(rows), LOOKS):
            keys, given, shown = zip(*rows[start : start + LOOKS], strict=True)
            for key, seen in zip(keys, _look_at(loaded, given, shown), strict=True):
                known.put(key, seen, seen.embeds.nbytes + held_bytes(seen.picture), LOOKS_BYTES)
                _remember(loaded, seen)


@torch.no_grad()
def _look_at(loaded: LoadedModel, rows: Sequence[dict], pictures: Sequence[Image]) -> list[Look]:
    """Looks at the pictures of rows that are of one length."""
    batch = join_rows(loaded, rows)
    told: list[dict] = []
    handle = decoder(loaded.model).register_forward_pre_hook(
        lambda module, args, kwargs: told.append(kwargs), with_kwargs=True
    )
    try:
        with reading(decoder_layers(loaded.model), [0], 0) as found:
            loaded.model(**batch, use_cache=False)
    finally:
        handle.remove()
    embeds, positions = (told[0].get(name) if told else None for name in ("inputs_embeds", "position_ids"))
    embeds, out = found[0] if embeds is None else embeds, []
    thumbnails = thumbnails_of(batch.get("pixel_values"), len(pictures))
    for i, picture in enumerate(pictures):
        ids, where = batch["input_ids"][i], positions
        if where is not None and where.shape[-2] > 1:
            where = where[..., i : i + 1, :].clone()
        places = (ids == image_token_id(loaded.model)).nonzero()[:, 0]
        vector = look_vector(loaded, found[0][i], ids, thumbnails[i])
        row = tuple(rows[i]["input_ids"][0].tolist())
        out.append(Look(embeds[i : i + 1].clone(), where, vector, picture, places=places, ids=row))
    return out


def forget_looks(loaded: LoadedModel, pictures: Sequence[Image]) -> None:
    """Forget what these pictures look like: nobody will ask again."""
    known, gone = loaded.cache.get("looks", {}), {id(picture) for picture in pictures}
    for key in [key for key in known if key[0] in gone]:
        del known[key]


def up_to_picture(loaded: LoadedModel, row: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A row of encode_row cut behind its last placeholder; what does not run along with the text stays."""
    length = int((row["input_ids"][0] == image_token_id(loaded.model)).nonzero()[-1]) + 1
    return cut_row(row, length)


def cut_row(row: dict[str, torch.Tensor], length: int) -> dict[str, torch.Tensor]:
    """The first `length` tokens of a row or batch; pictures' tensors are whole whatever their sizes."""
    whole = row["input_ids"].shape
    return {
        key: value[:, :length]
        if value.shape[:2] == whole and not key.startswith(("pixel", "image"))
        else value
        for key, value in row.items()
    }
