"""A real model as a bench: fitted with a method, attached, asked. The only file here that runs a model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.evaluate.bench import Forced, Progress, Question, Said
from okedit_cli.evaluate.case import Case
from okedit_cli.evaluate.records import Decision
from okedit_cli.facts import Fact

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel

MAX_TOKENS, BATCH = 32, 32
_PICTURES = 1500  # kept decoded, so that what was seen of them is found again


class ModelAnswerer:
    """Answers of a loaded model as it is at the moment."""

    def __init__(
        self,
        loaded: LoadedModel,
        max_tokens: int,
        batch: int,
        answers: Mapping[Question, Collection[str]] | None = None,
    ) -> None:
        self.loaded, self.max_tokens, self.batch, self.answers = loaded, max_tokens, batch, answers or {}

    def answer(self, questions: Sequence[Question]) -> list[Said]:
        """Greedy answers; where what is right is longer than `max_tokens`, as many tokens as it takes."""
        from okedit_cli.checking import limit_for
        from okedit_cli.generate import generate

        asked = [(question.prompt, _picture(question.picture)) for question in questions]
        limits = [
            limit_for(self.loaded, self.answers.get(question, ()), self.max_tokens) for question in questions
        ]
        answers = generate(self.loaded, asked, max_new_tokens=limits, batch=self.batch)
        return [Said(answer.text, _decision(answer.verdict), answer.ids) for answer in answers]

    def forced(self, questions: Sequence[Question], answers: Sequence[str]) -> list[Forced]:
        """Top-1 ids before each token of the answers."""
        from okedit_cli.generate import follow
        from okedit_cli.models.encode import answer_ids

        ids = [answer_ids(self.loaded, answer) for answer in answers]
        asked = [(question.prompt, _picture(question.picture)) for question in questions]
        tops = follow(self.loaded, asked, ids, batch=self.batch)
        return [Forced(tuple(one), tuple(top)) for one, top in zip(ids, tops, strict=True)]

    def spelled(self, answer: str) -> tuple[int, ...]:
        """The ids of an answer and of its end."""
        from okedit_cli.models.encode import answer_ids

        return tuple(answer_ids(self.loaded, answer))

    def decide(self, questions: Sequence[Question]) -> list[Decision] | None:
        """What the attached bundles decide; None where nothing is attached, or nothing gated."""
        from okedit_cli.generate import decide

        session = self.loaded.session
        if session is None or not session.active or not session.gated:
            return None
        asked = [(question.prompt, _picture(question.picture)) for question in questions]
        return [_decision(verdict) for verdict in decide(self.loaded, asked)]


class ModelBench:
    """A loaded model with a method that fits cases, or with bundles that are there already.

    `store` is a folder for bundles of several edits, so that a run that was stopped does not fit them again.
    `supporting` also edits the facts that portability rests on ("one-hop edited"). `answers`: what is right
    of each question, which may take more than `max_tokens`. Without a model a bench can only describe
    itself.
    """

    def __init__(
        self,
        loaded: LoadedModel | None,
        *,
        method: str = "balancedit",
        layer: int | str = "auto",
        seed: int = 0,
        force: bool = False,
        bundles: Sequence[Bundle] = (),
        strictness: float | None = None,
        without: Sequence[str] = (),
        settings: Sequence[str] = (),
        supporting: bool = False,
        max_tokens: int = MAX_TOKENS,
        batch: int = BATCH,
        answers: Mapping[Question, Collection[str]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.loaded, self.bundles, self.progress = loaded, list(bundles), progress
        self.store: Path | None = None
        self.supporting, self.max_tokens, self.strictness = supporting, max_tokens, strictness
        self.fitting = {"method": method, "layer": layer, "seed": seed, "force": force}
        if without:
            self.fitting["without"] = sorted(without)
        if settings:
            self.fitting["settings"] = sorted(settings)
        self._answerer = ModelAnswerer(loaded, max_tokens, batch, answers)
        self._whole: tuple[str, Bundle] | None = None  # the bundle of the last `within`

    @contextmanager
    def plain(self) -> Iterator[ModelAnswerer]:
        """The model with nothing attached."""
        from okedit_cli.session import session_of

        with session_of(self.loaded).aside():
            yield self._answerer

    @contextmanager
    def edited(self, cases: Sequence[Case], within: Sequence[Case]) -> Iterator[ModelAnswerer]:
        """The model with the cases' edits attached; edits that a method keeps out are just not there."""
        from okedit_cli.session import attach

        bundles = self.bundles or [self._bundle(cases, within)]
        with attach(self.loaded, bundles, strictness=self.strictness, alone=True):
            yield self._answerer

    def describe(self) -> dict[str, Any]:
        """Fingerprint, method and settings, or the bundles' own words; without a model all but the first."""
        from okedit_cli.models.fingerprint import fingerprint

        model = {} if self.loaded is None else {"model": fingerprint(self.loaded)}
        settings: dict[str, Any] = {"max_tokens": self.max_tokens}
        if self.strictness is not None:
            settings["strictness"] = self.strictness
        if self.bundles:
            method = "+".join(dict.fromkeys(bundle.manifest.method for bundle in self.bundles))
            content = [
                (list(b.manifest.facts), b.manifest.settings, sorted(b.manifest.tensors.items()))
                for b in self.bundles
            ]
            digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
            return {**model, "method": method, "settings": settings, "bundle": digest}
        settings |= {k: v for k, v in self.fitting.items() if k != "method"}
        settings["supporting"] = self.supporting
        return {**model, "method": self.fitting["method"], "settings": settings}

    def _bundle(self, cases: Sequence[Case], within: Sequence[Case]) -> Bundle:
        """The cases' edits: fitted, or what is left of the bundle of `within`.

        Edits are fitted each to its own case, so those of the first cases are the same whoever comes later,
        but for the near negatives that a method takes from other facts of one fit.
        """
        facts = self._facts(within)
        key = hashlib.sha256(repr((self.describe(), facts)).encode()).hexdigest()[:16]
        if self._whole is None or self._whole[0] != key:
            self._whole = key, self._fitted(facts, key)
        bundle = self._whole[1]
        wanted = {fact.id for fact in self._facts(cases)}
        later = [fact["id"] for fact in bundle.manifest.facts if fact["id"] not in wanted]
        if not later:
            return bundle
        from okedit_cli.methods import method_named

        shared = bundle.edits.kind in ("delta", "counterfactual")
        if shared or method_named(self.fitting["method"]).sequential:
            # one change for all, or keys and values that later facts have touched: of fewer they are others
            facts = [fact for fact in facts if fact.id in wanted]
            return self._fitted(
                facts, hashlib.sha256(repr((self.describe(), facts)).encode()).hexdigest()[:16]
            )
        from okedit_cli.bundle.remove import remove

        return remove(bundle, later)[0]

    def _fitted(self, facts: Sequence[Fact], key: str) -> Bundle:
        from okedit_cli.bundle import Bundle
        from okedit_cli.fitting import fit

        kept = self.store / f"{key}.safetensors" if self.store is not None and len(facts) > 1 else None
        if kept is not None and kept.exists():
            return Bundle.load(kept)
        progress = self.progress if len(facts) > 1 else None
        bundle = fit(self.loaded, facts, **self.fitting, checked=False, progress=progress).bundle
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            bundle.save(kept)
        return bundle

    def _facts(self, cases: Sequence[Case]) -> list[Fact]:
        facts = [case.fact() for case in cases]
        if self.supporting:
            for case in cases:
                for number, probe in enumerate(case.supporting, 1):
                    facts.append(
                        Fact(f"{case.id}-hop-{number}", probe.prompt, probe.answers[0], probe.picture)
                    )
        return facts


@lru_cache(maxsize=_PICTURES)
def _picture(path: Path | None) -> Any:
    if path is None:
        return None
    from okedit_cli.facts.pictures import load_picture

    return load_picture(path)


def _decision(verdict: Any) -> Decision | None:
    """A verdict of an attachment as records keep it; endless numbers become None."""
    if verdict is None:
        return None
    near = verdict.nearest
    if near is None:
        return Decision()
    numbers = (near.picture_distance, near.picture_radius, near.question_distance, near.question_radius)
    finite = (round(float(n), 6) if n is not None and math.isfinite(n) else None for n in numbers)
    context = verdict.context.edit_id if verdict.context else ""
    return Decision(
        verdict.hit.edit_id if verdict.hit else "", near.edit_id, *finite, context, verdict.rejection
    )
