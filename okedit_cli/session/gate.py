"""Gated edits in a model's forward passes: hooks that route prompts and change the answers of rows hit.

A prompt is routed when it is read (a forward pass with an empty cache), for every row from its own question
and picture (scope/router.py); the verdict holds until the next. From the prompt's last token on the values of
the edit that fired act, and an answer that is to be said word for word is held to (models/verbatim.py). A row
whose answer follows from an edit reads its note. Other rows are not touched. What a call decides belongs to
its thread. Not here: which bundles are attached (session/model.py).
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.errors import InvalidBundle, UsageError
from okedit_cli.methods.whole_prompt import Questions
from okedit_cli.models.features import Look, hidden_of, hook_tower
from okedit_cli.models.kv import cache_in
from okedit_cli.models.notes import hook_reader, write_notes
from okedit_cli.models.question import prompt_length, question_text, question_token_ids
from okedit_cli.models.sites import decoder_layers, image_token_id, mlp_of, picture_tower
from okedit_cli.models.verbatim import Held, Hold, held_answer
from okedit_cli.scope.pictures import Shown, seen
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.router import Router
from okedit_cli.scope.verdict import Candidate, Verdict
from okedit_cli.session.side import check_rows, hook_sides

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


class Call(threading.local):
    """What one thread's forward passes have decided and read."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        # attended tokens a row, where prompts end that are read with an answer; None: by the chat template
        self.prompt_lengths: Sequence[int] | None = None
        # of the rows' prompts, where their files are at hand
        self.pictures: Sequence[Image | None] | None = None
        # of rows whose last question and its picture are known to who asks, as in a conversation
        self.asked: Sequence[tuple[str, Look | None] | None] | None = None
        self.deep = False  # inside a forward pass of our own
        # ids and mask that wait for a verdict
        self.prompts: tuple[torch.Tensor, torch.Tensor] | None = None
        self.pixels: Any = None  # of the pictures that were looked at last
        self.said: torch.Tensor | None = None  # of these pictures by the tower
        # first changed column of each row; None outside the model's forward
        self.starts: list[int] | None = None
        self.last_read = True  # whether the prompts' last tokens have been read
        self.notes_from: list[int | None] = []  # first column of each row read as a note is
        self.questions: Questions | None = None

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Context: nothing is decided in this thread, nothing changed; decisions stay."""
        before, self.deep = self.deep, True
        try:
            yield
        finally:
            self.deep = before


class Gate:
    """Hooks of a router over attached bundles. `call` is this thread's; `check` is told of every forward pass
    before it begins and may refuse it.
    """

    def __init__(
        self, loaded: LoadedModel, router: Router, call: Call, check: Callable[[], None] = lambda: None
    ) -> None:
        self.loaded, self.router, self.bundles, self.call = loaded, router, router.bundles, call
        self._check = check
        self._values: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}
        self._hold = Hold(loaded, lambda: not call.deep)
        self._signature = inspect.signature(loaded.model.forward)
        layers, tower = decoder_layers(loaded.model), picture_tower(loaded.model)
        self._handles = hook_reader(loaded, lambda: [] if call.deep else call.notes_from)
        self._handles += [
            loaded.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            loaded.model.register_forward_hook(self._end, always_call=True),
            layers[0].register_forward_pre_hook(self._read, with_kwargs=True),
        ]
        if tower is not None:
            self._handles.append(tower.register_forward_pre_hook(self._look, with_kwargs=True))
            self._handles += filter(None, [hook_tower(loaded, self._hear)])
        books = [(bundle.codebook, bundle.manifest.site) for bundle in router.scoped]
        for layer in sorted({layer for book, site in books for layer in book.layers(site)}):
            self._handles.append(
                mlp_of(layers[layer]).register_forward_hook(self._change(layer), with_kwargs=True)
            )
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
        pictures = [None if look is None else seen(look) for look in looks]
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

    def _begin(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """A forward pass begins; with an empty cache it reads a new prompt."""
        if self.call.deep:
            return
        self._check()
        given = self._signature.bind_partial(*args, **kwargs).arguments
        cache = cache_in(given)
        if cache is not None and cache.get_seq_length() > 0:
            self.call.starts = [0] * len(self.call.verdicts)
            self.call.notes_from = [0 if note else None for note in self.notes()]
            self._hold.read(given.get("input_ids"), given.get("attention_mask"))
            return
        self.call.verdicts, self.call.starts, self.call.prompts = [], None, None
        self.call.last_read = False
        self._hold.begin([])
        ids, mask = given.get("input_ids"), given.get("attention_mask")
        if ids is not None:
            # other masks than [B, L] tell nothing about pads
            self.call.prompts = (
                ids,
                mask if getattr(mask, "shape", None) == ids.shape else torch.ones_like(ids),
            )
            self._questions().begin(given)

    def _end(self, module: Any, args: tuple, output: Any) -> Any:
        if self.call.deep:
            return None
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
            self.call.starts = self._decide(ids, mask, states.detach())
            told = None
            if any(notes := self.notes()):
                told, self.call.notes_from = write_notes(self.loaded, ids, mask, states, notes)
        finally:
            self.call.deep, self.call.pixels, self.call.said = False, None, None
            self._questions().begin(None)
        if told is None:
            return None
        return ((told, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": told})

    @torch.no_grad()
    def _decide(self, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor) -> list[int]:
        """Decide rows of ids and mask [B, L] by the decoder input [B, L, d]; their first changed columns."""
        lengths, starts = self.call.prompt_lengths, []
        if lengths is not None and len(lengths) != len(ids):
            raise UsageError(
                f"There are {len(lengths)} prompt_lengths for {len(ids)} rows.",
                hint="Give one for each row, or None.",
            )
        placeholder, columns = image_token_id(self.loaded.model), self._hold.prompt_columns(ids.shape[1])
        read = mask[:, :columns]  # of what generate() reads again without a cache, the prompt
        pictures = Shown(self.loaded, ids, mask, self.call.pixels, self.call.said)
        for row in range(len(ids)):
            attended = mask[row].nonzero()[:, 0]  # pads may carry any id
            length = lengths[row] if lengths else prompt_length(self.loaded, ids[row, :columns], read[row])
            prompt = attended[:length]
            self._questions().place = row, prompt
            starts.append(int(prompt[-1]) if len(prompt) else ids.shape[1])
            if self.call.asked and (known := self.call.asked[row]):
                self.call.verdicts.append(self._route(known[0], known[1] and seen(known[1])))
                continue
            words = ids[row, prompt]
            asked = question_token_ids(self.loaded, words, torch.ones_like(words))
            picture = None
            if placeholder is not None and bool((words == placeholder).any()):
                picture = pictures.of(
                    row, states[row, prompt], words, self.call.pictures and self.call.pictures[row]
                )
            self.call.verdicts.append(self._route(question_text(self.loaded, asked), picture))
        self._hold.begin(self._held(), ids, mask, starts)
        return starts

    def _questions(self) -> Questions:
        self.call.questions = self.call.questions or Questions(self.loaded)
        return self.call.questions

    def _route(self, question: str, picture: Picture | None) -> Verdict:
        def read(site: Mapping[str, Any]) -> torch.Tensor:
            return self._questions().feature(site, question, picture and picture.source)

        return self.router.route(Query(question, picture, read))

    def _change(self, layer: int):
        def hook(module: Any, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            if self.call.deep or self.call.starts is None:
                return None
            rows = [i for i, d in enumerate(self.call.verdicts) if d.hit and self._layer(d.hit) == layer]
            if not rows:
                return None
            whole = output[0] if isinstance(output, tuple) else output
            check_rows(self.call.verdicts, whole)
            states, changed = hidden_of(args, kwargs), whole.clone()
            for i in rows:
                hit, start = self.call.verdicts[i].hit, self.call.starts[i]
                down, up, bias = self._value(hit, whole)
                if self.bundles[hit.number].manifest.site.get("change") == "replace":
                    if not self.call.last_read:  # GRACE's replace_last: the prompt's last token alone
                        changed[i, start : start + 1] = bias.to(whole.dtype)
                    continue
                x = states[i, start:].to(down.dtype)
                changed[i, start:] += ((x @ down.T) @ up + bias).to(whole.dtype)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    def _layer(self, hit: Candidate) -> int | None:
        """Where the value of the edit that fired acts; None where it has none of its own."""
        edits, site = self.bundles[hit.number].edits, self.bundles[hit.number].manifest.site
        return edits.layer_of(hit.row, site) if edits.kind == "codebook" else None

    def _value(self, hit: Candidate, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One edit's value, read from the bundle when it first fires."""
        key = (hit.number, hit.row)
        if key not in self._values:
            book = self.bundles[hit.number].codebook
            found = tuple(
                t[hit.row].to(like.device, torch.float32)
                for t in (book.value_down, book.value_up, book.value_bias)
            )
            if not all(bool(torch.isfinite(t).all()) for t in found):
                raise InvalidBundle(
                    f"{hit.bundle}: the value of {hit.edit_id} holds numbers that are not finite.",
                    hint="Make the bundle again with `okedit edit`; `okedit verify` reads every byte.",
                )
            self._values[key] = found
        return self._values[key]
