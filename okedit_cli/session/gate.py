"""Gated edits in a model's forward passes: hooks that route prompts and change the answers of rows hit.

A prompt is routed when it is read (a forward pass with an empty cache), for every row from its own question
and picture (scope/router.py); the verdict holds until the next. From the prompt's last token on the values of
the edit that fired act, and an answer that is to be said word for word is held to (models/verbatim.py). A row
whose answer follows from an edit reads its note. Other rows are not touched. What a call decides belongs to
its thread. Not here: which bundles are attached (session/model.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import UsageError
from okedit_cli.methods.whole_prompt import Questions
from okedit_cli.models.compiled import untraced
from okedit_cli.models.entries import entries
from okedit_cli.models.features import Look, hook_tower
from okedit_cli.models.hooks import hidden_of
from okedit_cli.models.kv import cache_if_any, cache_in
from okedit_cli.models.notes import hook_reader, write_notes
from okedit_cli.models.question import is_open, prompt_length, question_text, question_token_ids
from okedit_cli.models.running import attended
from okedit_cli.models.sites import decoder_layers, picture_tower
from okedit_cli.models.verbatim import Held, Hold, held_answer
from okedit_cli.scope.pictures import Shown, seen
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.router import Router
from okedit_cli.scope.verdict import Verdict, best_of
from okedit_cli.session.acting import Acting
from okedit_cli.session.call import UNKNOWN, UNTOLD, Call, Part
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
        self._hold = Hold(loaded, lambda: not call.deep, call.apart)
        self._handles, self._reads_notes = [], False
        for module in entries(loaded.model):
            signature = inspect.signature(module.forward)
            self._handles.append(
                module.register_forward_pre_hook(untraced(partial(self._begin, signature)), with_kwargs=True)
            )
            self._handles.append(module.register_forward_hook(untraced(self._end), always_call=True))
        first, table = decoder_layers(loaded.model)[0], loaded.model.get_input_embeddings()
        self._handles.append(first.register_forward_pre_hook(untraced(self._read), with_kwargs=True))
        self._handles.append(table.register_forward_pre_hook(untraced(self._embed)))
        if (tower := picture_tower(loaded.model)) is not None:
            self._handles.append(tower.register_forward_pre_hook(untraced(self._look), with_kwargs=True))
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
        given = signature.bind_partial(*args, **kwargs).arguments
        named = {**given, **given.get("kwargs", {})}
        cache, mask, running = cache_in(named), named.get("attention_mask"), self._hold.running
        if running is not None and running.is_of_another(cache, named):
            self.call.deep, self.call.aside = True, module
            return
        self.call.inside = module
        if cache is not None and cache.get_seq_length() > 0:
            self._continue(named, cache, mask)
            return
        self.call.verdicts, self.call.starts, self.call.prompts = [], None, None
        self.call.last_read, self.call.part = False, None
        self._hold.begin([])
        if (ids := self.call.ids_of(self.loaded, named)) is not None:
            self.call.prompts = ids, attended(mask, ids, self._hold.inputs)
            self.call.given = named
            self._questions().begin(given)

    def _continue(self, named: Mapping[str, Any], cache: Any, mask: Any) -> None:
        """A forward pass goes on from a cache: an answer, or another part of a prompt."""
        ids, running = named.get("input_ids"), self._hold.running
        if running is not None and not running.read and self.call.part is None and ids is not None:
            # a generate() that was given a cache: what of its prompt is in it has been read before
            self.call.verdicts = []
            self._hold.begin([])
            if (whole := running.whole(len(ids))) is not None:
                head = whole[:, : cache.get_seq_length()]
                self.call.part = Part(head, None, named, None)
        self.call.starts = [0] * len(self.call.verdicts)
        self.call.notes_from = [0 if note else None for note in self._told()]
        self._hold.read(ids, mask)
        if self.call.part is not None and ids is not None:
            self.call.prompts = ids, mask

    def _end(self, module: Any, args: tuple, output: Any) -> Any:
        if self.call.aside is module:
            self.call.deep, self.call.aside = False, None
            if (running := self._hold.running) is not None and (cache := cache_if_any(output)) is not None:
                running.others.append(cache)
            return None
        if self.call.deep or self.call.inside is not module:
            return None
        self.call.inside = None
        self.call.starts = self.call.prompts = None
        self.call.last_read = True
        self.call.notes_from = []
        if (running := self._hold.running) is not None:
            running.read = running.read or self.call.part is None
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
            if self._more_to_come(ids, mask):
                self.call.part = Part(ids, states.detach(), self.call.given, self.call.said)
                if self._hold.running is not None:  # it tells how long its prompts are
                    return None
            self.call.starts = self._decide(ids, mask, states.detach())
            told = None
            if any(notes := self._told()):
                told, self.call.notes_from = write_notes(self.loaded, ids, mask, states, notes)
        finally:
            self.call.deep, self.call.given, self.call.pixels, self.call.said = False, {}, None, None
            self._questions().begin(None)
        if told is None:
            return None
        return ((told, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": told})

    def _more_to_come(self, ids: torch.Tensor, mask: torch.Tensor) -> bool:
        """Whether ids [B, L] are the beginnings of prompts: shorter than what generate() was given, or all
        without the words that open the model's turn.
        """
        if (running := self._hold.running) is not None:
            return ids.shape[1] < running.columns
        rows = zip(ids, mask, strict=True)
        return all(is_open(self.loaded, row[kept.bool()].tolist()) for row, kept in rows)

    def _go_on(self, ids: torch.Tensor, mask: Any, states: torch.Tensor) -> None:
        """Another part of prompts that are read in several: once they are whole they are decided again."""
        part = self.call.part
        before = part.ids.shape[1]
        if len(ids) != len(part.ids):  # the model speaks, in several beams
            self.call.part = None
            return
        whole = torch.cat([part.ids, ids], 1)
        if part.states is None:
            kept = states.new_zeros(len(ids), before, states.shape[-1])
        else:
            kept = part.states
        self.call.part = Part(whole, torch.cat([kept, states], 1), part.given, part.said)
        seen_ = attended(mask, whole, self._hold.inputs)
        if self._more_to_come(whole, seen_):
            return
        self.call.given, self.call.said, self.call.verdicts = part.given, part.said, []
        starts = self._decide(whole, seen_, self.call.part.states, before if part.states is None else 0)
        self.call.starts = [max(0, start - before) for start in starts]
        self.call.part = None
        if any(self.notes()):
            self.call.warn_once(UNTOLD)
            self.call.verdicts = [replace(verdict, context=None) for verdict in self.call.verdicts]

    @torch.no_grad()
    def _decide(
        self, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor, unread: int = 0
    ) -> list[int]:
        """Decide rows of ids and mask [B, L] by the decoder input [B, L, d], of which the first `unread`
        columns are not known; the rows' first changed columns.
        """
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
        shown, cache = Shown(self.loaded, ids, mask, given, self.call.said), cache_in(self.call.given)
        earlier, seen_ = [] if cache is None else self.call.shown.get(cache, []), []
        for row in range(len(ids)):
            columns_read = mask[row].nonzero()[:, 0]  # pads may carry any id
            length = lengths[row] if lengths else prompt_length(self.loaded, ids[row, :columns], read[row])
            prompt = columns_read[:length]
            self._questions().place = row, prompt
            starts.append(int(prompt[-1]) if len(prompt) else ids.shape[1])
            if self.call.asked and (told := self.call.asked[row]):
                pictures = [seen(look) for look in told[1]]
                seen_.append((ids[row].tolist(), pictures))
                self.call.verdicts.append(self._route(told[0], pictures))
                continue
            words = ids[row, prompt]
            asked = question_token_ids(self.loaded, words, torch.ones_like(words))
            end = int(prompt[-1]) + 1 if len(prompt) else 0
            pictures = shown.of(row, states[row], end, self.call.pictures and self.call.pictures[row])
            if unread:
                pictures, unknown = shown.remembered(row, ids[row], unread, pictures, earlier)
                if unknown:
                    self.call.warn_once(UNKNOWN)
            seen_.append((ids[row].tolist(), pictures))
            self.call.verdicts.append(self._route(question_text(self.loaded, asked), pictures))
        if cache is not None:
            self.call.shown[cache] = seen_
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
