"""From facts to a bundle: compute with a method, attach, and check by generation what each edit does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.attach import attach
from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.bundle.words import row_of
from okedit_cli.generate import generate
from okedit_cli.methods import Computed, Options, method_named
from okedit_cli.methods.base import Progress

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.samples import Sample

CHECKED = 6  # positives of a fact that are generated, the user's own first


@dataclass(frozen=True)
class FactReport:
    """What became of one fact. Counts are (good, of all); distances are of the channel that binds."""

    id: str
    took: bool
    kept_out: bool
    positives: tuple[int, int]
    negatives: tuple[int, int]
    d_pos: float
    d_neg: float
    radius: float
    channel: str
    seconds: float
    note: str


@dataclass(frozen=True)
class FitResult:
    """The bundle of the facts that were kept, and a report on every fact."""

    bundle: Bundle
    reports: list[FactReport]


def fit(
    loaded: LoadedModel,
    facts: Sequence[Fact],
    *,
    method: str = "balancedit",
    layer: int | str = "auto",
    force: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> FitResult:
    """Fit facts and check them. UsageError: unknown method or layer; InvalidFacts: a broken picture."""
    compute = method_named(method)
    before = loaded.cache.get("attachment")
    if before is not None:
        before.detach()
    options = Options(layer, force, seed, progress)
    computed = compute(loaded, facts, options)
    bundle = Bundle(_manifest(loaded, method, computed), computed.codebook, computed.canary)
    reports = _check(loaded, bundle, facts, computed, options)
    told = {report.id: report for report in reports}
    for fact in bundle.manifest.facts:
        report = told[fact["id"]]
        fact["report"] = {
            "took": report.took,
            "positives": list(report.positives),
            "negatives": list(report.negatives),
            "channel": report.channel,
            "d_pos": _finite(report.d_pos),
            "d_neg": _finite(report.d_neg),
            "radius": _finite(report.radius),
        }
    return FitResult(bundle, reports)


def _finite(value: float) -> float | None:
    return round(value, 6) if abs(value) != float("inf") and value == value else None


def _manifest(loaded: LoadedModel, method: str, computed: Computed) -> Manifest:
    import torch
    import transformers

    from okedit_cli import __version__
    from okedit_cli.bank import load_bank
    from okedit_cli.models.fingerprint import fingerprint

    versions = {
        "okedit": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }
    return Manifest(
        base=fingerprint(loaded),
        site=computed.site,
        method=method,
        facts=[row_of(fact) for fact in computed.kept],
        settings=computed.settings,
        versions=versions,
        bank=load_bank().version,
        canary=computed.canary_rows,
    )


def _check(
    loaded: LoadedModel, bundle: Bundle, facts: Sequence[Fact], computed: Computed, options: Options
) -> list[FactReport]:
    """Ask every kept fact's samples with the bundle attached, and negatives that fire without as well."""
    kept = {fact.id for fact in computed.kept}
    reports = []
    for number, fact in enumerate(facts):
        options.tell("checking facts", number, len(facts))
        began, scope = time.perf_counter(), computed.scopes[fact.id]
        samples = computed.samples[fact.id]
        note, took, good, same = scope.note, False, (0, 0), (0, 0)
        if fact.id in kept:
            edits = [s for s in samples if s.role == "edit"]
            positives = sorted(
                (s for s in samples if s.role == "positive"), key=lambda s: s.origin != "user"
            )[:CHECKED]
            negatives = [s for s in samples if s.role == "negative"]
            with attach(loaded, [bundle]):
                said = _ask(loaded, [*edits, *positives])
                # one token is enough to know the decision; what does not fire is the base model's, bit by bit
                judged = _ask(loaded, negatives, tokens=1)
                fired = [s for s, a in zip(negatives, judged, strict=True) if a.decision.hit]
                heard = _ask(loaded, fired, tokens=16)
            right = [says(answer.text, fact.answer) for answer in said]
            took = all(right[: len(edits)])
            good = (sum(right[len(edits) :]), len(positives))
            plain = _ask(loaded, fired, tokens=16)
            spoilt = sum(
                a.text != b.text
                for a, b in zip(plain, heard, strict=True)
                if b.decision.hit.edit_id == fact.id
            )
            same = (len(negatives) - spoilt, len(negatives))
            if not took:
                note = (note + "; " if note else "") + f"it still answers {said[0].text!r}"
        reports.append(
            FactReport(
                fact.id,
                took,
                fact.id not in kept,
                good,
                same,
                scope.d_pos,
                scope.d_neg,
                scope.radius,
                scope.channel,
                computed.seconds[fact.id] + time.perf_counter() - began,
                note,
            )
        )
    options.tell("checking facts", len(facts), len(facts))
    return reports


def says(text: str, answer: str) -> bool:
    """Whether a generated text is the answer, case, spaces and a final full stop aside."""

    def plain(words: str) -> str:
        return " ".join(words.lower().strip().rstrip(".!").split())

    return plain(text) == plain(answer)


def _ask(loaded: LoadedModel, samples: Sequence[Sample], tokens: int = 32):
    return generate(loaded, [(s.prompt, s.picture) for s in samples], max_new_tokens=tokens)
