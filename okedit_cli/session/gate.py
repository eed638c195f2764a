"""Gated edits in a model's forward passes: hooks that route prompts and change the answers of rows hit.

A prompt is routed when it is read (a forward pass with an empty cache), for every row from its own question
and picture (scope/router.py); the verdict holds until the next. From the prompt's last token on the values of
the edit that fired act, and an answer that is to be said word for word is held to (models/verbatim.py). A row
whose answer follows from an edit reads its note. Other rows are not touched. What a call decides belongs to
its thread. Not here: which bundles are attached (session/model.py).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import UsageError
from okedit_cli.methods.whole_prompt import Questions
from okedit_cli.models.entries import entries
from okedit_cli.models.features import Look, hook_tower
from okedit_cli.models.hooks import hidden_of
from okedit_cli.models.kv import cache_in
from okedit_cli.models.notes import hook_reader, write_notes
from okedit_cli.models.question import is_open, prompt_length, question_text, question_token_ids
from okedit_cli.models.sites import decoder_layers, image_token_id, picture_tower
from okedit_cli.models.verbatim import Held, Hold, held_answer
from okedit_cli.scope.pictures import Shown, seen
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.router import Router
from okedit_cli.scope.verdict import Verdict, best_of
from okedit_cli.session.acting import Acting
from okedit_cli.session.call import Call, Part
from okedit_cli.session.side import hook_sides

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


class Gate:
    """Hooks of a router over attached bundles. `call` is this thread's; `check` is told of every forward pass
    before it begins and may refuse it.
    """

    def __init__(
        self, loaded: LoadedModel, router: Router, call: Call, check: Callable[[], None] = lambda: None
    ) -> None:
        self.loaded, self.router, self.bundles, self.call = loaded, router, router.bundles, call
        self._check = check
        self._hold = Hold(loaded, lambda: not call.deep)
        self._handles, self._reads_notes = [], False
        for module in entries(loaded.model):
            signature = inspect.signature(module.forward)
            self._handles.append(
                module.register_forward_pre_hook(partial(self._begin, signature), with_kwargs=True)
            )
            self._handles.append(module.register_forward_hook(self._end, always_call=True))
        first, table = decoder_layers(loaded.model)[0], loaded.model.get_input_embeddings()
        self._handles.append(first.register_forward_pre_hook(self._read, with_kwargs=True))
        self._handles.append(table.register_forward_pre_hook(self._embed))
        if (tower := picture_tower(loaded.model)) is not None:
            self._handles.append(tower.register_forward_pre_hook(self._look, with_kwargs=True))
        self._handles += filter(None, [hook_tower(loaded, self._hear)])
        self._handles += Acting(loaded, router, call).handles
        self._handles += hook_sides(loaded, router.bundles, call)

    def remove(self) -> None:
        """Take every hook away; the model is what it was. May be called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._hold.remove()

    def decide(self, questions: Sequence[str], looks: Sequence[Look | None]) -> None:
        """Route prompts that are read elsewhere, by their questions and what the model sees of pictures.

        What is run on a cache afterwards is changed by it.
        """
        pictures = [[] if look is None else [seen(look)] for look in looks]
        with self.call.at_rest():
            self.call.verdicts = [self._route(*one) for one in zip(questions, pictures, strict=True)]
        self.call.starts = self.call.prompts = None
        self.call.last_read = False
        self._hold.begin(self._held())

    def notes(self) -> list[str]:
        """What each row that was routed is to be told of its picture; "" for nothing."""
        return [
            "" if v.context is None else self.bundles[v.context.number].manifest.facts[v.context.row]["note"]
            for v in self.call.verdicts
        ]

    def _told(self) -> list[str]:
        """The notes; what reads them is hooked when there is a first one, since it sits in every layer."""
        found = self.notes()
        if any(found) and not self._reads_notes:
            call, self._reads_notes = self.call, True
            self._handles += hook_reader(self.loaded, lambda: [] if call.deep else call.notes_from)
        return found

    def keep(self, rows: Sequence[int]) -> None:
        """Of the rows that were routed only these go on."""
        self.call.verdicts = [self.call.verdicts[row] for row in rows]
        self._hold.keep(rows)

    def _held(self) -> list[Held | None]:
        """The answers that the rows that were routed are held to."""
        facts = [v.hit and self.bundles[v.hit.number].manifest.facts[v.hit.row] for v in self.call.verdicts]
        return [held_answer(self.loaded, fact) for fact in facts]

    def _hear(self, said: torch.Tensor) -> None:
        if not self.call.deep:
            self.call.said = said

    def _look(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """Pictures are looked at, in the forward pass that reads their prompt or before it."""
        if not self.call.deep:
            self.call.pixels = kwargs.get("pixel_values", args[0] if args else None)

    def _embed(self, module: Any, args: tuple) -> None:
        if not self.call.deep and args:
            self.call.embedded.see(args[0])

    def _begin(self, signature: inspect.Signature, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """A forward pass begins; with an empty cache it reads a new prompt."""
        if self.call.deep or self.call.inside is not None:
            return
        self._check()
        self.call.inside = module
        given = signature.bind_partial(*args, **kwargs).arguments
        named = {**given, **given.get("kwargs", {})}
        cache, mask = cache_in(named), named.get("attention_mask")
        if cache is not None and cache.get_seq_length() > 0:
            self.call.starts = [0] * len(self.call.verdicts)
            self.call.notes_from = [0 if note else None for note in self._told()]
            ids = named.get("input_ids")
            self._hold.read(ids, mask)
            if self.call.part is not None and ids is not None:
                self.call.prompts = ids, mask
            return
        self.call.verdicts, self.call.starts, self.call.prompts = [], None, None
        self.call.last_read, self.call.part = False, None
        self._hold.begin([])
        if (ids := self._ids(named)) is not None:
            # other masks than [B, L] tell nothing about pads
            seen_ = mask if getattr(mask, "shape", None) == ids.shape else torch.ones_like(ids)
            self.call.prompts = ids, seen_
            self.call.given = named
            self._questions().begin(given)

    def _ids(self, named: Mapping[str, Any]) -> torch.Tensor | None:
        """The ids of the prompts that a pass reads; None, with a warning, where only others' embeddings are
        given.
        """
        if (ids := named.get("input_ids")) is not None:
            return ids
        embeds = named.get("inputs_embeds")
        if embeds is None:
            return None
        table = self.loaded.model.get_input_embeddings()
        with self.call.at_rest():
            ids = self.call.embedded.of(embeds, table, image_token_id(self.loaded.model))
        if ids is None:
            warnings.warn(
                "A prompt came as inputs_embeds that the model's own embeddings of words are not, so no edit"
                " was looked for; give input_ids.",
                RuntimeWarning,
                stacklevel=2,
            )
        return ids

    def _end(self, module: Any, args: tuple, output: Any) -> Any:
        if self.call.deep or self.call.inside is not module:
            return None
        self.call.inside = None
        self.call.starts = self.call.prompts = None
        self.call.last_read = True
        self.call.notes_from = []
        return self._hold.said_in(output)

    def _read(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
        """The decoder's input is there: decide every row, and write the notes."""
        if self.call.deep or self.call.prompts is None:
            return None
        (ids, mask), self.call.prompts, self.call.deep = self.call.prompts, None, True
        try:
            states = hidden_of(args, kwargs)
            if self.call.part is not None:
                self._go_on(ids, mask, states.detach())
                return None
            self.call.starts = self._decide(ids, mask, states.detach())
            if self._is_part(ids) and all(
                is_open(self.loaded, row[kept.bool()].tolist()) for row, kept in zip(ids, mask, strict=True)
            ):
                self.call.part = Part(ids, states.detach(), self.call.given, self.call.said)
            told = None
            if any(notes := self._told()):
                told, self.call.notes_from = write_notes(self.loaded, ids, mask, states, notes)
        finally:
            self.call.deep, self.call.given, self.call.pixels, self.call.said = False, {}, None, None
            self._questions().begin(None)
        if told is None:
            return None
        return ((told, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": told})

    def _is_part(self, ids: torch.Tensor) -> bool:
        """Whether more of the prompts of ids [B, L] may come; not where a running generate() has no more."""
        given = self._hold.inputs
        whole = given.get("inputs") if given.get("input_ids") is None else given["input_ids"]
        return whole is None or ids.shape[1] < whole.shape[1]

    def _go_on(self, ids: torch.Tensor, mask: Any, states: torch.Tensor) -> None:
        """Another part of prompts that are read in several: once they are whole they are decided again."""
        part = self.call.part
        before = part.ids.shape[1]
        if len(ids) != len(part.ids):  # the model speaks, in several beams
            self.call.part = None
            return
        ids, states = torch.cat([part.ids, ids], 1), torch.cat([part.states, states], 1)
        self.call.part = Part(ids, states, part.given, part.said)
        seen_ = mask[:, : ids.shape[1]] if getattr(mask, "ndim", 0) == 2 else torch.ones_like(ids)
        if any(is_open(self.loaded, row[kept.bool()].tolist()) for row, kept in zip(ids, seen_, strict=True)):
            return
        self.call.given, self.call.said, self.call.verdicts = part.given, part.said, []
        starts = self._decide(ids, seen_, states)
        self.call.starts = [max(0, start - before) for start in starts]
        self.call.part = None

    @torch.no_grad()
    def _decide(self, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor) -> list[int]:
        """Decide rows of ids and mask [B, L] by the decoder input [B, L, d]; their first changed columns."""
        lengths, starts = self.call.prompt_lengths, []
        if lengths is not None and len(lengths) != len(ids):
            raise UsageError(
                f"There are {len(lengths)} prompt_lengths for {len(ids)} rows.",
                hint="Give one for each row, or None.",
            )
        columns = self._hold.prompt_columns(ids.shape[1])
        read = mask[:, :columns]  # of what generate() reads again without a cache, the prompt
        known = {name: value for name, value in self.call.given.items() if value is not None}
        # a running generate() was given all of it, and rows once that may be several beams here
        given = {"pixel_values": self.call.pixels, **(self._hold.inputs or known)}
        shown = Shown(self.loaded, ids, mask, given, self.call.said)
        for row in range(len(ids)):
            attended = mask[row].nonzero()[:, 0]  # pads may carry any id
            length = lengths[row] if lengths else prompt_length(self.loaded, ids[row, :columns], read[row])
            prompt = attended[:length]
            words = ids[row, prompt]
            asked = question_token_ids(self.loaded, words, torch.ones_like(words))
            self._questions().place = row, prompt
            end = int(prompt[-1]) + 1 if len(prompt) else 0
            pictures = shown.of(row, states[row], end, self.call.pictures and self.call.pictures[row])
            self.call.verdicts.append(self._route(question_text(self.loaded, asked), pictures))
            starts.append(int(prompt[-1]) if len(prompt) else ids.shape[1])
        self._hold.begin(self._held(), ids, mask, starts)
        return starts

    def _questions(self) -> Questions:
        self.call.questions = self.call.questions or Questions(self.loaded)
        return self.call.questions

    def _route(self, question: str, pictures: Sequence[Picture]) -> Verdict:
        """The verdict on a question about pictures, any of which may be an edit's."""

        def read(site: Mapping[str, Any]) -> torch.Tensor:
            return self._questions().feature(site, question, pictures[0].source if pictures else None)

        return best_of([self.router.route(Query(question, one, read)) for one in pictures or [None]])
