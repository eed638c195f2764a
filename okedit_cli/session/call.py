"""What one thread's forward passes have decided and read. Not here: who decides (gate.py)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from okedit_cli.models.compiled import uncompiled
from okedit_cli.models.entries import EmbeddedIds
from okedit_cli.models.sites import image_token_id

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.methods.whole_prompt import Questions
    from okedit_cli.models.features import Look
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.query import Picture
    from okedit_cli.scope.verdict import Verdict


# what is told once of prompts that cannot be decided, or not wholly
FOREIGN = (
    "A prompt came as inputs_embeds that the model's own embeddings of words are not, so no edit was looked"
    " for; give input_ids."
)
UNKNOWN = (
    "A prompt's picture was in a cache that was read before, so no edit of that picture was looked for; give"
    " the prompt without the cache."
)
UNTOLD = (
    "A prompt was read in parts (prefill_chunk_size, or a cache that was kept), so what follows from an edit"
    " was not told to the model; give the prompt at once."
)


@dataclass
class Part:
    """What has been read of prompts that come in several passes (`prefill_chunk_size`): ids [B, L], the
    decoder's input [B, L, d], and what the first pass was given. `states` is None of what is in a cache that
    was kept from an earlier call.
    """

    ids: torch.Tensor
    states: torch.Tensor | None
    given: Mapping[str, Any]
    said: torch.Tensor | None


class Call(threading.local):
    """What one thread's forward passes have decided and read."""

    def __init__(self, warned: set[str]) -> None:
        self.warned = warned  # what has been told once, in any thread
        self.verdicts: list[Verdict] = []
        # attended tokens a row, where prompts end that are read with an answer; None: by the chat template
        self.prompt_lengths: Sequence[int] | None = None
        # of the rows' prompts, where their files are at hand
        self.pictures: Sequence[Image | None] | None = None
        # of rows whose last question is known to who asks it, as in a conversation: it and its pictures
        self.asked: Sequence[tuple[str, Sequence[Look]] | None] | None = None
        self.deep = False  # inside a forward pass of our own
        self.aside: Any = None  # the module whose pass is on that nothing is decided in
        self.inside: Any = None  # the module whose pass is on: one that it calls begins none
        # ids and mask that wait for a verdict
        self.prompts: tuple[torch.Tensor, torch.Tensor] | None = None
        self.part: Part | None = None  # what was read of prompts that are not whole yet
        self.given: Mapping[str, Any] = {}  # to the forward pass that reads the prompts, by name
        self.pixels: Any = None  # of the pictures that were looked at last
        self.said: torch.Tensor | None = None  # of these pictures by the tower
        self.embedded = EmbeddedIds()
        # by the cache that prompts were read into: the ids and pictures of its rows
        self.shown: WeakKeyDictionary[Any, list[tuple[list[int], list[Picture]]]] = WeakKeyDictionary()
        # first changed column of each row; None outside the model's forward
        self.starts: list[int] | None = None
        self.last_read = True  # whether the prompts' last tokens have been read
        self.notes_from: list[int | None] = []  # first column of each row read as a note is
        self.questions: Questions | None = None

    def rest(self) -> None:
        """Nothing is attached any more: what passes have read is let go. Verdicts stay."""
        self.prompts = self.part = self.pixels = self.said = self.questions = self.starts = None
        self.given, self.embedded = {}, EmbeddedIds()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Context: nothing is decided in this thread, nothing changed; decisions stay."""
        before, self.deep = self.deep, True
        try:
            with uncompiled():
                yield
        finally:
            self.deep = before

    @contextmanager
    def apart(self, quiet: bool) -> Iterator[None]:
        """Context: other prompts are read meanwhile, whose decisions are forgotten behind it; none are made
        where it is to be quiet.
        """
        before = dict(self.__dict__)
        self.deep, self.inside = quiet, None
        try:
            yield
        finally:
            self.__dict__.clear()
            self.__dict__.update(before)

    def warn_once(self, words: str) -> None:
        """Warn of something, once a model."""
        if words not in self.warned:
            self.warned.add(words)
            warnings.warn(words, RuntimeWarning, stacklevel=2)

    def ids_of(self, loaded: LoadedModel, named: Mapping[str, Any]) -> torch.Tensor | None:
        """The ids of the prompts that a pass reads, of what it is given by name; None, with a warning, where
        only others' embeddings are given.
        """
        if (ids := named.get("input_ids")) is not None:
            return ids
        embeds = named.get("inputs_embeds")
        if embeds is None:
            return None
        with self.at_rest():
            ids = self.embedded.of(loaded, embeds, image_token_id(loaded.model))
        if ids is None:
            self.warn_once(FOREIGN)
        return ids
