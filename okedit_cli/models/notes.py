"""A note for the model to read: words written over the last tokens of a picture, at the decoder's input.

The prompt keeps its length and its positions, and everything before the note stays as it was, so that a note
can be given to any row of a batch, by hooks alone. A model that is too small to make much of a note may have
learned changes to read it with (models/mini/reader.py), which act on the note and what comes behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.compiled import untraced
from okedit_cli.models.features import reading
from okedit_cli.models.hooks import of_this_thread
from okedit_cli.models.mini.reader import learned_reader
from okedit_cli.models.sites import decoder, decoder_layers, hidden_size, image_token_id

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

LONGEST = 256  # tokens of a note that are looked at


def note_ids(loaded: LoadedModel, text: str) -> list[int]:
    """The ids of a note's end: words alone, whatever a bundle's author wrote."""
    ids = loaded.tokenizer(text.strip(), add_special_tokens=False)["input_ids"]
    special = {*loaded.tokenizer.all_special_ids, image_token_id(loaded.model)}
    return [i for i in ids if i not in special][-LONGEST:]


@torch.no_grad()
def note_embeds(loaded: LoadedModel, text: str) -> torch.Tensor:
    """A note as a decoder takes it for `inputs_embeds`: [T, d]."""
    ids = torch.tensor(note_ids(loaded, text), dtype=torch.long, device=loaded.device)
    return loaded.model.get_input_embeddings()(ids)


@torch.no_grad()
def note_states(loaded: LoadedModel, text: str) -> torch.Tensor:
    """A note as the decoder's first layer receives it: [T, d]. Some decoders scale what they are given."""
    ids = torch.tensor([note_ids(loaded, text)], dtype=torch.long, device=loaded.device)
    if not ids.shape[1]:
        return torch.zeros(0, hidden_size(loaded.model), device=loaded.device)
    with reading(decoder_layers(loaded.model), [0], 0) as found:
        decoder(loaded.model)(input_ids=ids, use_cache=False)
    return found[0][0]


def note_start(places: torch.Tensor, note: torch.Tensor) -> int | None:
    """The place where a note [T, d] over a picture's `places` [P] begins; None where there is no room."""
    count = min(len(places), len(note))
    return int(places[-count]) if count else None


def hook_reader(loaded: LoadedModel, starts: Callable[[], Sequence[int | None]]) -> list[Any]:
    """Handles of hooks by which rows are read as notes are, each from its column of `starts` on (None: not at
    all); none for a model that reads notes by itself.
    """

    def change(down: torch.Tensor, up: torch.Tensor):
        def hook(module: Any, args: tuple, output: torch.Tensor) -> torch.Tensor | None:
            rows = [(row, start) for row, start in enumerate(starts()) if start is not None]
            if not rows:
                return None
            changed = output.clone()
            for row, start in rows:  # one by one: the same whoever asks along
                read = (args[0][row, start:].float() @ down.T) @ up.T
                changed[row, start:] += read.to(output.dtype)
            return changed

        return hook

    return [
        module.register_forward_hook(untraced(change(*parts))) for module, *parts in learned_reader(loaded)
    ]


@contextmanager
def reading_notes(loaded: LoadedModel, starts: Sequence[int | None]) -> Iterator[None]:
    """Context: rows are read as notes are, each from its column on."""
    own = of_this_thread(lambda: starts)
    noted = any(start is not None for start in starts)
    handles = hook_reader(loaded, lambda: own() or []) if noted else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def with_note(states: torch.Tensor, places: torch.Tensor, note: torch.Tensor) -> torch.Tensor:
    """One row's decoder input [L, d] with a note [T, d] over the last of the picture's `places` [P].

    A note that is longer than its picture loses its beginning: the answer stands at the end.
    """
    count = min(len(places), len(note))
    written = states.clone()
    if count:
        written[places[-count:]] = note[-count:].to(states.dtype)
    return written


def write_notes(
    loaded: LoadedModel, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor, notes: Sequence[str]
) -> tuple[torch.Tensor, list[int | None]]:
    """The decoder's input [B, L, d] of prompts with each row's note ("": none) over its picture, and the
    columns where the notes begin.
    """
    placeholder, states, starts = image_token_id(loaded.model), states.clone(), [None] * len(notes)
    for row, note in enumerate(notes):
        if note:
            places = ((ids[row] == placeholder) & mask[row].bool()).nonzero()[:, 0]
            written = note_states(loaded, note)
            states[row] = with_note(states[row], places, written)
            starts[row] = note_start(places, written)
    return states, starts
