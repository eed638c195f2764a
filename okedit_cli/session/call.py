"""What one thread's forward passes have decided and read. Not here: who decides (gate.py)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.models.entries import EmbeddedIds

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.methods.whole_prompt import Questions
    from okedit_cli.scope.verdict import Verdict


@dataclass
class Part:
    """What has been read of prompts that come in several passes (`prefill_chunk_size`): ids [B, L], the
    decoder's input [B, L, d], and what the first pass was given.
    """

    ids: torch.Tensor
    states: torch.Tensor
    given: Mapping[str, Any]
    said: torch.Tensor | None


class Call(threading.local):
    """What one thread's forward passes have decided and read."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        # attended tokens a row, where prompts end that are read with an answer; None: by the chat template
        self.prompt_lengths: Sequence[int] | None = None
        # of the rows' prompts, where their files are at hand
        self.pictures: Sequence[Image | None] | None = None
        self.deep = False  # inside a forward pass of our own
        self.inside: Any = None  # the module whose pass is on: one that it calls begins none
        # ids and mask that wait for a verdict
        self.prompts: tuple[torch.Tensor, torch.Tensor] | None = None
        self.part: Part | None = None  # what was read of prompts that are not whole yet
        self.given: Mapping[str, Any] = {}  # to the forward pass that reads the prompts, by name
        self.pixels: Any = None  # of the pictures that were looked at last
        self.said: torch.Tensor | None = None  # of these pictures by the tower
        self.embedded = EmbeddedIds()
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
            yield
        finally:
            self.deep = before
