"""A session: a base model with bundles attached, of any kind, in the order in which they were attached.

Codebooks act through hooks (gate.py), weight deltas through exchanged weights (weights.py), text memories by
putting a prompt anew before it is read, which only okedit's own generate() can do. What a call decides is
its thread's. Not here: reading prompts and generating (generate.py).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from typing import TYPE_CHECKING

from okedit_cli.bundle import Bundle, FitWarning, bundles_of, check_fit
from okedit_cli.bundle.canary import check_canary
from okedit_cli.bundle.kinds import KINDS
from okedit_cli.bundle.site import check_site
from okedit_cli.edits.memory import Base, recall
from okedit_cli.errors import UsageError
from okedit_cli.models.compiled import forget_compiled
from okedit_cli.models.features import Look
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.memory import forget
from okedit_cli.scope.router import Router, strictness_of
from okedit_cli.scope.verdict import Verdict
from okedit_cli.session.gate import Call, Gate
from okedit_cli.session.said import in_scope, joined, told
from okedit_cli.session.weights import Weights

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


PROMPTED = ("memory", "counterfactual")  # kinds that act before a prompt is read


class Attachment:
    """Bundles attached together: a context manager, undone by `detach()`.

    `verdicts` holds one Verdict a row of this thread's last prompt batch, over all that is attached.
    `prompt_lengths`, attended tokens a row, says where prompts end that are read with an answer; None finds
    it by the chat template.
    """

    def __init__(
        self,
        session: Session,
        bundles: Sequence[Bundle],
        strictness: float | None,
        without: Collection[str],
        alone: bool,
    ) -> None:
        self.session, self.bundles, self.alone = session, list(bundles), alone
        self.strictness = [strictness_of(b) if strictness is None else strictness for b in self.bundles]
        self.without = frozenset(without)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Take these bundles off; those attached before or after them stay. May be called again."""
        self.session.take_off(self)

    def aside(self):
        """Context: the base model by itself, nothing is decided, nothing changed; verdicts stay."""
        return self.session.aside()

    @property
    def resting(self) -> bool:
        """Whether the model runs by itself at the moment."""
        return self.session.resting

    @property
    def verdicts(self) -> list[Verdict]:
        """One a row of the last prompt batch that this thread had read."""
        return self.session.call.verdicts

    @property
    def prompt_lengths(self) -> Sequence[int] | None:
        """Attended tokens of each row's prompt, for this thread's next pass; None: by the chat template."""
        return self.session.call.prompt_lengths

    @prompt_lengths.setter
    def prompt_lengths(self, value: Sequence[int] | None) -> None:
        self.session.call.prompt_lengths = value


class Session:
    """The bundles attached to one model, and everything that holds them there."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.call = loaded, Call(set())
        self.attachments: list[Attachment] = []
        self.bundles: list[Bundle] = []
        self.router = Router([], [])
        self.gate: Gate | None = None
        self.weights = Weights(loaded)
        self.prompting = _Prompting()

    @property
    def resting(self) -> bool:
        """Whether this thread runs the model by itself."""
        return self.call.deep

    @property
    def active(self) -> bool:
        """Whether attached edits act at the moment."""
        return bool(self.attachments) and not self.resting

    @property
    def gated(self) -> bool:
        """Whether a verdict tells of every question if its answer is the base model's."""
        return all(bundle.edits.gated for bundle in self.bundles)

    @property
    def memories(self) -> list[tuple[int, Bundle]]:
        """(number, bundle) of the memories, of texts and counterfactual ones, the newest first."""
        found = [(n, one) for n, one in enumerate(self.bundles) if one.edits.kind in PROMPTED]
        return found[::-1]

    def put_on(self, attachment: Attachment) -> None:
        """Attach; what is wrong with it is told before anything has changed."""
        attachments = [*self.attachments, attachment]
        router = _router(attachments)
        if not self.attachments:  # what an earlier one was told
            self.call.verdicts, self.call.asked = [], None
            self.call.prompt_lengths = self.call.pictures = None
        self._install(attachments, router)

    def take_off(self, attachment: Attachment) -> None:
        """Detach; nothing where it is not attached."""
        if attachment in self.attachments:
            attachments = [one for one in self.attachments if one is not attachment]
            self._install(attachments, _router(attachments))

    def _install(self, attachments: list[Attachment], router: Router) -> None:
        if self.gate is not None:
            self.gate.remove()
            self.gate = None
        self.attachments, self.router, self.bundles = attachments, router, router.bundles
        self._put_weights()
        if not attachments:
            self.call.rest()
            forget(self.loaded)
        if attachments:
            self.gate = Gate(self.loaded, router, self.call, self._check_pass)
        forget_compiled()

    def _put_weights(self) -> None:
        self.weights.put([one.edits for one in self.bundles if one.edits.kind == "delta"])

    def _check_pass(self) -> None:
        """A memory has no part in a prompt that is read by anybody else's code."""
        if self.memories and not self.prompting.on:
            bundle = self.memories[0][1]
            raise UsageError(
                f"{bundle.name or 'An attached bundle'} is {KINDS[bundle.edits.kind].words}, which acts"
                " before a prompt is read, so model.generate() and the model's own forward pass cannot take"
                " part.",
                hint="Ask by okedit_cli.generate(loaded, questions), or detach the bundle.",
            )

    def at_rest(self) -> AbstractContextManager[None]:
        """Context: nothing is decided in this thread; weights stay as they are."""
        return self.call.at_rest()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Context: the base model by itself. Weights that deltas have changed are the base model's for all
        threads meanwhile.
        """
        changed = self.weights.changed
        if changed:
            self.weights.take_off()
        try:
            with self.at_rest():
                yield
        finally:
            if changed:
                self._put_weights()

    def decide(self, questions: Sequence[str], looks: Sequence[Look | None]) -> list[Verdict]:
        """Route prompts that are read elsewhere; what is run on a cache afterwards is changed by it."""
        self.gate.decide(questions, looks)
        return list(self.call.verdicts)

    def recalled(
        self, questions: Sequence[str], looks: Sequence[Look | None], base: Base
    ) -> list[tuple[str, Verdict]]:
        """Each question as the newest memory that has something to say of it puts it, and a verdict over all
        memories; `base` is asked by those that confirm.
        """
        out = [(question, Verdict()) for question in questions]
        open_ = list(range(len(out)))
        for number, bundle in self.memories:
            facts, site = bundle.manifest.facts, bundle.manifest.site
            asked = [(questions[i], None if looks[i] is None else looks[i].vector) for i in open_]
            if bundle.edits.kind == "counterfactual":
                found = [(prompt, in_scope(bundle, number, prompt, picture)) for prompt, picture in asked]
            else:
                recalled = recall(bundle.edits, facts, site, asked, base)
                found = [(one.prompt, told(bundle, number, one)) for one in recalled]
            for i, (prompt, verdict) in zip(open_, found, strict=True):
                out[i] = prompt, joined(verdict, out[i][1])
            open_ = [i for i in open_ if out[i][1].hit is None]
        return out


class _Prompting(threading.local):
    """Whether this thread's forward passes are those of okedit's own generate(): within `with`."""

    depth = 0

    @property
    def on(self) -> bool:
        """Inside `with`."""
        return self.depth > 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exception: object) -> None:
        self.depth -= 1


def _router(attachments: Sequence[Attachment]) -> Router:
    """Over all bundles from the last attachment on that is to be alone."""
    start = max((n for n, one in enumerate(attachments) if one.alone), default=0)
    acting = attachments[start:]
    return Router(
        [bundle for one in acting for bundle in one.bundles],
        [strictness for one in acting for strictness in one.strictness],
        frozenset().union(*(one.without for one in acting)),
    )


def session_of(loaded: LoadedModel) -> Session:
    """The session of a model, made when it is first asked for."""
    if loaded.session is None:
        loaded.session = Session(loaded)
    return loaded.session


def attach(
    loaded: LoadedModel,
    bundles: Sequence[Bundle | str | PathLike[str]] | Bundle | str | PathLike[str],
    *,
    strictness: float | None = None,
    without: Collection[str] = (),
    alone: bool = False,
) -> Attachment:
    """Attach bundles, or one, opened or by path, beside those attached before; the end of a `with` takes
    these off and leaves the others. `alone`: those attached before rest meanwhile.

    ModelMismatch when one does not belong to the model; BundleWarning when its keys have moved a little.
    `strictness` (0 to 1) moves every border: radii are scaled by 1.5 - strictness; None leaves it to the
    bundles. `without` names stages of the router (scope.router.STAGES) to leave out.
    """
    bundles = bundles_of(bundles)
    session = session_of(loaded)
    found = fingerprint(loaded)
    with session.aside():
        for bundle in bundles:
            for words in check_fit(bundle.manifest, found):
                warnings.warn(words, FitWarning, stacklevel=2)
            check_site(loaded, bundle)
            check_canary(loaded, bundle)
    attachment = Attachment(session, bundles, strictness, without, alone)
    session.put_on(attachment)
    return attachment
