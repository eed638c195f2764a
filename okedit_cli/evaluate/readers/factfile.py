"""Our own fact files: an edit is fitted to rephrases, views and `keep`; `holdout` and `related` judge it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from okedit_cli.evaluate.case import Case, DataSet, Probe, Train
from okedit_cli.facts import Fact, load_facts
from okedit_cli.facts.stand_ins import Fetch


def read(path: Path, fetch: Fetch | None = None) -> DataSet:
    """A fact file as cases; InvalidFacts as load_facts tells it."""
    file = load_facts(path, fetch=fetch)
    data = path.read_bytes() if str(path) != "-" else b""
    return DataSet(path, "facts", tuple(map(_case, file.facts)), hashlib.sha256(data).hexdigest())


def _case(fact: Fact) -> Case:
    target = (fact.answer, *fact.accepted)
    related = (Probe(q.prompt, q.image, (q.answer,), "related") for q in fact.related if q.answer)
    return Case(
        id=fact.id,
        prompt=fact.prompt,
        target=fact.answer,
        accepted=fact.accepted,
        picture=fact.image,
        portability=tuple(related),
        holdout=tuple(Probe(q.prompt, q.image, target, _where(fact, q)) for q in fact.holdout),
        train=Train(fact.rephrases, fact.images, tuple(Probe(q.prompt, q.image) for q in fact.keep)),
        verbatim=fact.verbatim,
        reach=fact.reach if fact.reach != "auto" else "",
        row=fact.line,
    )


def _where(fact: Fact, question) -> str:
    """What is new in a held-out question: its words, its picture or both."""
    if question.image == fact.image:
        return "text"
    return "picture" if question.prompt == fact.prompt else "both"
