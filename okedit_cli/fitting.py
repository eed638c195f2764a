"""From facts to a bundle: compute with a method, attach, and check by generation what each edit does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from okedit_cli.bundle import Bundle, Manifest
from okedit_cli.bundle.shards import part_of, shard_field
from okedit_cli.bundle.site import encoders_of
from okedit_cli.bundle.words import row_of
from okedit_cli.checking import FactReport, check, says, unchecked
from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.facts import Fact, FactFile, load_facts
from okedit_cli.methods import Computed, Options, method_named, settings_of
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Progress, Scope
from okedit_cli.methods.registry import check_splits
from okedit_cli.methods.spaces import spaces_of
from okedit_cli.models.control import texts_of, with_control_token, words_for
from okedit_cli.models.memory import keeping
from okedit_cli.models.wrap import frozen
from okedit_cli.samples.sampler import checked as checked_samples
from okedit_cli.session import session_of

__all__ = ["FactReport", "FitResult", "check_part", "fit", "put_reports", "says", "whole_of"]

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel


@dataclass(frozen=True)
class FitResult:
    """The bundle of the facts that were kept, and a report on every fact."""

    bundle: Bundle
    reports: list[FactReport]


def fit(
    loaded: LoadedModel,
    facts: Sequence[Fact] | FactFile | str | PathLike[str],
    *,
    method: str = "balancedit",
    layer: int | str = "auto",
    force: bool = False,
    seed: int = 0,
    checked: bool = True,
    strictness: float | None = None,
    without: Sequence[str] = (),
    context: str = "auto",
    text_encoder: str = "",
    image_encoder: str = "",
    settings: Sequence[str] | Mapping[str, Any] = (),
    shard: tuple[int, int] | None = None,
    among: Sequence[Fact] = (),
    progress: Progress | None = None,
) -> FitResult:
    """Fit facts, or those of a fact file, and check them; `settings` are the method's own ("steps=50", or by
    name), `without` leaves parts of balancedit out (methods.base.PARTS). `shard` (I, N) fits the I-th of N
    parts of the facts, for `merge` to put together; `among` are all facts, where `facts` are some of them.

    UsageError: unknown method, setting, layer or part; InvalidFacts: a broken picture, a control token in
    a text.
    """
    chosen, facts = method_named(method), _facts(facts)
    if shard is not None:
        check_splits(chosen)
        among, facts = facts, [facts[row] for row in part_of(len(facts), shard)]
    for fact in facts:
        for what, _, token in with_control_token(loaded, texts_of(fact)):
            raise InvalidFacts(f"fact {fact.id}: {words_for(what, token, loaded)}.")
    encoders = text_encoder, image_encoder
    own = settings_of(chosen, settings)
    options = Options(layer, force, seed, progress, frozenset(without), context, *encoders, own, among)
    with keeping(loaded):  # what fitting has read is asked about when it is checked, and by nobody else
        with session_of(loaded).aside(), frozen(loaded.model):
            computed = chosen.compute(loaded, facts, options)
        if options.without:
            computed.settings["without"] = sorted(options.without)
        if strictness is not None:
            computed.settings["strictness"] = strictness
        bundle = Bundle(
            _manifest(loaded, method, computed), computed.edits, computed.canary, dict(computed.extras)
        )
        if shard is not None:
            given = [method, layer, force, seed, sorted(without), context, *encoders, repr(own), strictness]
            whole = whole_of(among, given)
            bundle.manifest.shard = shard_field(whole, shard[1], shard[0], len(bundle))
        if not checked:
            return FitResult(bundle, unchecked(facts, computed))
        reports = check(loaded, bundle, facts, computed, options)
        put_reports(bundle, reports)
        return FitResult(bundle, reports)


def check_part(
    loaded: LoadedModel,
    bundle: Bundle,
    facts: Sequence[Fact],
    reports: Sequence[FactReport],
    *,
    among: Sequence[Fact],
    seed: int = 0,
) -> list[FactReport]:
    """What some of a bundle's facts do with all of it attached. `reports` on them are those of a fit that did
    not check; `among` are all facts of the file.
    """
    method = method_named(bundle.manifest.method)
    options = Options(seed=seed, among=among, **encoders_of(bundle.manifest.site))
    spaces = {"spaces": spaces_of(loaded, options)} if method.spaced else {}
    with session_of(loaded).aside():
        samples_of = sampler_for(loaded, facts, options, **spaces)
        samples = {fact.id: checked_samples(samples_of(fact)) for fact in facts}
    told = {report.id: report for report in reports}
    computed = Computed(
        bundle.edits, {}, {}, [fact for fact in facts if not told[fact.id].kept_out], samples,
        {name: Scope(r.channel, r.d_pos, r.d_neg, r.radius, r.why) for name, r in told.items()},
        {name: r.seconds for name, r in told.items()},
        reaches={name: r.reach for name, r in told.items() if r.reach},
        verbatim=any("verbatim" in row for row in bundle.manifest.facts),
    )  # fmt: skip
    return check(loaded, bundle, facts, computed, options)


def whole_of(facts: Sequence[Fact], given: Sequence[Any]) -> str:
    """A name for a run over these facts with these settings: a sha256, cut to 16 digits."""
    content = json.dumps([[row_of(fact) for fact in facts], *given], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def put_reports(bundle: Bundle, reports: Sequence[FactReport]) -> None:
    """Write what was found out about the bundle's facts into its manifest."""
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
            **({"fragile": list(report.fragile)} if report.fragile else {}),
        }


def _facts(given: Sequence[Fact] | FactFile | str | PathLike[str]) -> list[Fact]:
    """Facts as a caller gives them: a list, a fact file that was read, or the path of one."""
    if isinstance(given, (str, PathLike)):
        given = load_facts(given)
    facts = given.facts if isinstance(given, FactFile) else [given] if isinstance(given, Fact) else given
    odd = next((one for one in facts if not isinstance(one, Fact)), None)
    if odd is not None:
        raise UsageError(
            f"{type(odd).__name__} is no fact, expected facts, or a fact file or its path.",
            hint="okedit_cli.load_facts(path) reads a fact file.",
        )
    return list(facts)


def _row(fact: Fact, computed: Computed) -> dict:
    """A fact as the bundle lists it, with what it reaches and the note that the model is given where its
    answer follows.
    """
    row = row_of(fact)
    if not computed.verbatim:
        row.pop("verbatim", None)
    if fact.id in computed.reaches:
        row["reach"] = computed.reaches[fact.id]
    if computed.notes and fact.image is not None:
        row["note"] = f"Fact: {fact.prompt.strip()} {fact.answer.strip().rstrip('.')}."
    return row


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
        facts=[_row(fact, computed) for fact in computed.kept],
        settings=computed.settings,
        versions=versions,
        bank=load_bank().version,
        canary=computed.canary_rows,
    )
