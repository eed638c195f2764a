"""Bundles on a model: hooks that route once a prompt and change the answers of the rows that are hit.

A prompt is routed when it is read (a forward pass with an empty cache), for every row from its own question
and picture (scope/router.py); the verdict holds until the next. From the prompt's last token on the values of
the edit that fired act, and an answer that is to be said word for word is held to (models/verbatim.py). A row
whose answer follows from an edit reads its note. Other rows are not touched.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch

from okedit_cli.bundle import Bundle, FitWarning, bundles_of, check_fit
from okedit_cli.bundle.canary import check_canary
from okedit_cli.bundle.site import check_site
from okedit_cli.errors import UsageError
from okedit_cli.methods.whole_prompt import Questions
from okedit_cli.models.features import Look, hidden_of, hook_tower
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.kv import cache_in
from okedit_cli.models.notes import hook_reader, write_notes
from okedit_cli.models.question import prompt_length, question_text, question_token_ids
from okedit_cli.models.sites import decoder_layers, image_token_id, mlp_of, picture_tower
from okedit_cli.models.verbatim import Held, Hold, held_answer
from okedit_cli.scope.pictures import Shown, seen
from okedit_cli.scope.query import Picture, Query
from okedit_cli.scope.router import Router, strictness_of
from okedit_cli.scope.verdict import Candidate, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel


class Attachment:
    """Bundles attached to a model; a context manager, undone by `detach()`.

    `verdicts` holds one Verdict a row of the last prompt batch. `prompt_lengths`, attended tokens a row, says
    where prompts end that are read with an answer; None finds it by the chat template.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        bundles: Sequence[Bundle],
        strictness: float | None = None,
        without: Collection[str] = (),
    ):
        self.loaded, self.bundles = loaded, list(bundles)
        strict = [strictness_of(b) if strictness is None else strictness for b in self.bundles]
        self.router = Router(self.bundles, strict, without)
        self.verdicts: list[Verdict] = []
        self.prompt_lengths: Sequence[int] | None = None
        # of the rows' prompts, where their files are at hand
        self.pictures: Sequence[Image | None] | None = None
        # ids and mask that wait for a verdict
        self._prompts: tuple[torch.Tensor, torch.Tensor] | None = None
        self._pixels: Any = None  # of the pictures that were looked at last
        self._said: torch.Tensor | None = None  # of these pictures by the tower
        # first changed column of each row; None outside the model's forward
        self._starts: list[int] | None = None
        self._notes_from: list[int | None] = []  # first column of each row read as a note is
        self._questions = Questions(loaded)
        self._deep = False  # inside a forward pass of our own
        self._values: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}
        self._hold = Hold(loaded, lambda: not self._deep)
        self._signature = inspect.signature(loaded.model.forward)
        layers, tower = decoder_layers(loaded.model), picture_tower(loaded.model)
        self._handles = hook_reader(loaded, lambda: [] if self._deep else self._notes_from)
        self._handles += [
            loaded.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            loaded.model.register_forward_hook(self._end, always_call=True),
            layers[0].register_forward_pre_hook(self._read, with_kwargs=True),
        ]
        if tower is not None:
            self._handles.append(tower.register_forward_pre_hook(self._look, with_kwargs=True))
            self._handles += filter(None, [hook_tower(loaded, self._hear)])
        for layer in sorted({bundle.manifest.site["value_layer"] for bundle in self.bundles}):
            self._handles.append(
                mlp_of(layers[layer]).register_forward_hook(self._change(layer), with_kwargs=True)
            )

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Take every hook away; the model is what it was. May be called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._hold.remove()
        if self.loaded.cache.get("attachment") is self:
            del self.loaded.cache["attachment"]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The model by itself for a while: nothing is decided, nothing changed, decisions stay."""
        before, self._deep = self._deep, True
        try:
            yield
        finally:
            self._deep = before

    @property
    def resting(self) -> bool:
        """Whether the model runs by itself at the moment."""
        return self._deep

    def decide(self, questions: Sequence[str], looks: Sequence[Look | None]) -> None:
        """Route prompts that are read elsewhere, by their questions and what the model sees of pictures.

        What is run on a cache afterwards is changed by it.
        """
        pictures = [None if look is None else seen(look) for look in looks]
        with self.aside():
            self.verdicts = [self._route(*one) for one in zip(questions, pictures, strict=True)]
        self._starts = self._prompts = None
        self._hold.begin(self._held())

    def notes(self) -> list[str]:
        """What each row that was routed is to be told of its picture; "" for nothing."""
        return [
            "" if v.context is None else self.bundles[v.context.number].manifest.facts[v.context.row]["note"]
            for v in self.verdicts
        ]

    def keep(self, rows: Sequence[int]) -> None:
        """Of the rows that were routed only these go on."""
        self.verdicts = [self.verdicts[row] for row in rows]
        self._hold.keep(rows)

    def _held(self) -> list[Held | None]:
        """The answers that the rows that were routed are held to."""
        facts = [v.hit and self.bundles[v.hit.number].manifest.facts[v.hit.row] for v in self.verdicts]
        return [held_answer(self.loaded, fact) for fact in facts]

    def _hear(self, said: torch.Tensor) -> None:
        if not self._deep:
            self._said = said

    def _look(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """Pictures are looked at, in the forward pass that reads their prompt or before it."""
        if not self._deep:
            self._pixels = kwargs.get("pixel_values", args[0] if args else None)

    def _begin(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """A forward pass begins; with an empty cache it reads a new prompt."""
        if self._deep:
            return
        given = self._signature.bind_partial(*args, **kwargs).arguments
        cache = cache_in(given)
        if cache is not None and cache.get_seq_length() > 0:
            self._starts = [0] * len(self.verdicts)
            self._notes_from = [0 if note else None for note in self.notes()]
            self._hold.read(given.get("input_ids"), given.get("attention_mask"))
            return
        self.verdicts, self._starts, self._prompts = [], None, None
        self._hold.begin([])
        ids, mask = given.get("input_ids"), given.get("attention_mask")
        if ids is not None:
            # other masks than [B, L] tell nothing about pads
            self._prompts = ids, mask if getattr(mask, "shape", None) == ids.shape else torch.ones_like(ids)
            self._questions.begin(given)

    def _end(self, module: Any, args: tuple, output: Any) -> Any:
        if self._deep:
            return None
        self._starts = self._prompts = None
        self._notes_from = []
        return self._hold.said_in(output)

    def _read(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
        """The decoder's input is there: decide every row, and write the notes."""
        if self._deep or self._prompts is None:
            return None
        (ids, mask), self._prompts, self._deep = self._prompts, None, True
        try:
            states = hidden_of(args, kwargs)
            self._starts = self._decide(ids, mask, states.detach())
            told = None
            if any(notes := self.notes()):
                told, self._notes_from = write_notes(self.loaded, ids, mask, states, notes)
        finally:
            self._deep, self._pixels, self._said = False, None, None
            self._questions.begin(None)
        if told is None:
            return None
        return ((told, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": told})

    @torch.no_grad()
    def _decide(self, ids: torch.Tensor, mask: torch.Tensor, states: torch.Tensor) -> list[int]:
        """Decide rows of ids and mask [B, L] by the decoder input [B, L, d]; their first changed columns."""
        lengths, starts = self.prompt_lengths, []
        if lengths is not None and len(lengths) != len(ids):
            raise UsageError(
                f"There are {len(lengths)} prompt_lengths for {len(ids)} rows.",
                hint="Give one for each row, or None.",
            )
        placeholder, columns = image_token_id(self.loaded.model), self._hold.prompt_columns(ids.shape[1])
        read = mask[:, :columns]  # of what generate() reads again without a cache, the prompt
        pictures = Shown(self.loaded, ids, mask, self._pixels, self._said)
        for row in range(len(ids)):
            attended = mask[row].nonzero()[:, 0]  # pads may carry any id
            length = lengths[row] if lengths else prompt_length(self.loaded, ids[row, :columns], read[row])
            prompt = attended[:length]
            words = ids[row, prompt]
            asked = question_token_ids(self.loaded, words, torch.ones_like(words))
            self._questions.place = row, prompt
            picture = None
            if placeholder is not None and bool((words == placeholder).any()):
                picture = pictures.of(row, states[row, prompt], words, self.pictures and self.pictures[row])
            self.verdicts.append(self._route(question_text(self.loaded, asked), picture))
            starts.append(int(prompt[-1]) if len(prompt) else ids.shape[1])
        self._hold.begin(self._held(), ids, mask, starts)
        return starts

    def _route(self, question: str, picture: Picture | None) -> Verdict:
        def read(site: Mapping[str, Any]) -> torch.Tensor:
            return self._questions.feature(site, question, picture and picture.source)

        return self.router.route(Query(question, picture, read))

    def _change(self, layer: int):
        def hook(module: Any, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            if self._deep or self._starts is None:
                return None
            rows = [
                i
                for i, d in enumerate(self.verdicts)
                if d.hit and self.bundles[d.hit.number].manifest.site["value_layer"] == layer
            ]
            if not rows:
                return None
            whole = output[0] if isinstance(output, tuple) else output
            if len(whole) != len(self.verdicts):
                raise UsageError(
                    f"{len(self.verdicts)} prompts were read and the answer has {len(whole)} rows, so edits"
                    " cannot be told apart.",
                    hint="While bundles are attached, let each prompt be its own row from the start.",
                )
            states, changed = hidden_of(args, kwargs), whole.clone()
            for i in rows:
                start = self._starts[i]
                down, up, bias = self._value(self.verdicts[i].hit, whole)
                x = states[i, start:].to(down.dtype)
                changed[i, start:] += ((x @ down.T) @ up + bias).to(whole.dtype)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    def _value(self, hit: Candidate, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One edit's value, read from the bundle when it first fires."""
        key = (hit.number, hit.row)
        if key not in self._values:
            book = self.bundles[hit.number].codebook
            self._values[key] = tuple(
                t[hit.row].to(like.device, torch.float32)
                for t in (book.value_down, book.value_up, book.value_bias)
            )
        return self._values[key]


def attach(
    loaded: LoadedModel,
    bundles: Sequence[Bundle | str | PathLike[str]] | Bundle | str | PathLike[str],
    *,
    strictness: float | None = None,
    without: Collection[str] = (),
) -> Attachment:
    """Attach bundles, or one, opened or by path, in place of those attached before. ModelMismatch when one
    does not belong to the model, and those attached before stay; BundleWarning when its keys have moved a
    little.

    `strictness` (0 to 1) moves every border: radii are scaled by 1.5 - strictness; None leaves it to the
    bundles. `without` names stages of the router (scope.router.STAGES) to leave out.
    """
    bundles = bundles_of(bundles)
    found = fingerprint(loaded)
    for bundle in bundles:
        for words in check_fit(bundle.manifest, found):
            warnings.warn(words, FitWarning, stacklevel=2)
        check_site(loaded, bundle)
        check_canary(loaded, bundle)
    before = loaded.cache.get("attachment")
    if before is not None:
        before.detach()
    loaded.cache["attachment"] = attachment = Attachment(loaded, bundles, strictness, without)
    return attachment
