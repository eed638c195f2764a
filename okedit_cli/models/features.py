"""What a model makes of a picture, read once for all questions: its decoder input, and the vector that it
is recognised by.

The vector is the image encoder's (encoders/image.py): what okedit-mini's tower makes of it, or, for any
other model, what enters its decoder, pooled. Not here: questions, which text encoders read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bounded import Bounded
from okedit_cli.facts.pictures import held_bytes
from okedit_cli.models.compiled import uncompiled, untraced
from okedit_cli.models.encode import encode_row, join_rows
from okedit_cli.models.hooks import hidden_of, of_this_thread
from okedit_cli.models.memory import bounds, tower_bytes
from okedit_cli.models.mini.pictures import has_learned_map, mapped
from okedit_cli.models.sites import (
    decoder,
    decoder_layers,
    hidden_size,
    image_token_id,
    picture_reader,
    picture_tower,
)
from okedit_cli.models.spans import showing_all

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

# Image tokens are pooled in two halves: models that order them by kind or by place keep that apart.
HALVES = 2
LOOKS = 16  # pictures looked at as one batch, where memory is for them
LOOK_IDS = 20_000  # pictures whose prompts' beginnings are remembered


class _Stop(Exception):
    """Everything that was wanted has been read."""


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

        return of_this_thread(hook)

    handles = [layers[i].register_forward_pre_hook(reader(i), with_kwargs=True) for i in {*wanted, last}]
    try:
        with uncompiled():
            yield found
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()


def pooled(tokens: torch.Tensor) -> torch.Tensor:
    """What is made of a picture's tokens [n, d]: a vector [2 d], fp32, on the CPU."""
    halves = tokens.tensor_split(HALVES) if len(tokens) >= HALVES else [tokens] * HALVES
    return torch.cat([half.float().mean(0) for half in halves]).cpu()


def vector_width(loaded: LoadedModel) -> int:
    """Numbers of a picture's vector, before any map that a bundle has."""
    if has_learned_map(loaded):
        return mapped(None).shape[-1]
    inside = loaded.model.config.vision_config if loaded.model.config.model_type == "instructblip" else None
    return HALVES * (hidden_size(loaded.model) if inside is None else inside.hidden_size)


@contextmanager
def tower_says(loaded: LoadedModel) -> Iterator[list[torch.Tensor]]:
    """Context: what is said of pictures outside the decoder's input (`hook_tower`), a forward pass each."""
    found: list[torch.Tensor] = []
    handle = hook_tower(loaded, of_this_thread(found.append))
    try:
        yield found
    finally:
        if handle is not None:
            handle.remove()


def hook_tower(loaded: LoadedModel, told: Callable[[torch.Tensor], None]) -> Any:
    """The handle of a hook by which `told` receives what is said of pictures outside the decoder's input:
    by okedit-mini's tower [pictures, D], by what cross-attention reads [rows, pictures of a row, 2 d]. None
    for other models.
    """
    if (reader := picture_reader(loaded.model)) is not None:

        def hear(module: Any, args: tuple, output: Any) -> None:
            found = getattr(output, "last_hidden_state", output).detach()
            if found.dim() == 3:  # InstructBLIP: one picture a row
                found = found[:, None]
            rows = found.flatten(2, -2)
            told(torch.stack([torch.stack([pooled(one) for one in row]) for row in rows]))

        return reader.register_forward_hook(untraced(hear))
    tower = picture_tower(loaded.model)
    if tower is None or not has_learned_map(loaded):
        return None
    # taken at once: the model writes over its tower's output
    return tower.register_forward_hook(
        untraced(lambda module, args, output: told(output.pooler_output.detach().float().cpu()))
    )


def picture_vector(
    loaded: LoadedModel,
    states: torch.Tensor,
    columns: torch.Tensor,
    said: torch.Tensor | None,
    place: tuple[int, int, int] = (0, 0, 0),
) -> torch.Tensor:
    """A picture's vector, from its row's decoder input [L, d] and its columns there, or from what was `said`
    of the batch's pictures; `place`: its row, its number in the row, and its number in the batch.
    """
    row, index, number = place
    if said is None:
        return pooled(states[showing_all(loaded, columns)])
    if said.dim() == 3:
        return said[row, index]
    return mapped(said[number : number + 1])[0]


@dataclass
class Look:
    """What a model sees of one picture: the decoder's input [1, p, d] up to its last placeholder, position
    ids as the model told its decoder (None: none), the picture's vector on the CPU, the columns [P]
    of its placeholders (None: nobody told), and the p ids that were read.
    """

    embeds: torch.Tensor
    positions: torch.Tensor | None
    vector: torch.Tensor
    picture: Any  # kept, so that its id is not given out again
    places: torch.Tensor | None = None
    ids: tuple[int, ...] = ()


@torch.no_grad()
def look(loaded: LoadedModel, row: dict[str, torch.Tensor], picture: Image) -> Look:
    """Look at a picture, once for all questions. `row` is encode_row's, up to its last placeholder."""
    known: Bounded = loaded.cache.setdefault("looks", Bounded())
    key = (id(picture), tuple(row["input_ids"][0].tolist()))
    if key not in known:
        [seen] = _look_at(loaded, [row], [picture])  # by itself: the same whoever is asked along
        _keep(loaded, seen)
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
    for seen in _looks(loaded, [one for one in pictures if _seen(loaded, one) is None]):
        _keep(loaded, seen)
        _remember(loaded, seen)


def vectors_together(loaded: LoadedModel, pictures: Sequence[Image]) -> torch.Tensor:
    """Picture vectors [n, d], fp32, on the CPU, looked at as batches; nothing is kept."""
    found = {id(seen.picture): seen.vector for seen in _looks(loaded, pictures)}
    return torch.stack([found[id(picture)] for picture in pictures])


def _looks(loaded: LoadedModel, pictures: Sequence[Image]) -> Iterator[Look]:
    """Looks at pictures, those of one shape as batches; in any order."""
    alike: dict[tuple, list[tuple[dict, Image]]] = {}
    for picture in pictures:
        row = up_to_picture(loaded, encode_row(loaded, "?", picture))
        shape = tuple((name, tuple(value.shape)) for name, value in sorted(row.items()))
        waiting = alike.setdefault(shape, [])
        waiting.append((row, picture))
        # those of one shape are of one size; more than a batch of them is not held as pixels
        most = max(1, min(LOOKS, bounds(loaded).tower // max(1, tower_bytes(loaded, row))))
        if len(waiting) >= most:
            yield from _look_at(loaded, *zip(*alike.pop(shape), strict=True))
    for rows in alike.values():
        yield from _look_at(loaded, *zip(*rows, strict=True))


def _keep(loaded: LoadedModel, seen: Look) -> None:
    known: Bounded = loaded.cache.setdefault("looks", Bounded())
    size = seen.embeds.nbytes + held_bytes(seen.picture)
    known.put((id(seen.picture), seen.ids), seen, size, bounds(loaded).looks)


@torch.no_grad()
def _look_at(loaded: LoadedModel, rows: Sequence[dict], pictures: Sequence[Image]) -> list[Look]:
    """Looks at the pictures of rows that are of one length."""
    batch = join_rows(loaded, rows)
    told: list[dict] = []
    handle = decoder(loaded.model).register_forward_pre_hook(
        of_this_thread(lambda module, args, kwargs: told.append(kwargs)), with_kwargs=True
    )
    try:
        with reading(decoder_layers(loaded.model), [0], 0) as found, tower_says(loaded) as said:
            loaded.forward(**batch, use_cache=False)
    finally:
        handle.remove()
    embeds, positions = (told[0].get(name) if told else None for name in ("inputs_embeds", "position_ids"))
    embeds, out = found[0] if embeds is None else embeds, []
    said = torch.cat(said) if said else None
    for i, picture in enumerate(pictures):
        ids, where = batch["input_ids"][i], positions
        if where is not None and where.shape[-2] > 1:
            where = where[..., i : i + 1, :].clone()
        places = (ids == image_token_id(loaded.model)).nonzero()[:, 0]
        vector = picture_vector(loaded, found[0][i], places, said, (i, 0, i))
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


def look_vectors(loaded: LoadedModel, pictures: Sequence[Image]) -> torch.Tensor:
    """Picture vectors [n, d], fp32, on the CPU."""
    return torch.stack([look_of(loaded, picture).vector for picture in pictures])
