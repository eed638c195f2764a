"""CKnowEdit (Fang et al. 2024): Chinese language, facts and logic, text alone.

`prompt, target_old, target_new, rephrase, portability [{prompt, answer}], locality [{prompt, answer}]`.
"""

from __future__ import annotations

from collections.abc import Iterator

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import Row


def read(row: Row) -> Case:
    """One row; a row with an empty target is left out."""
    targets = row.targets("target_new")
    return Case(
        id="",
        prompt=row.text("prompt"),
        target=targets[0],
        accepted=targets[1:],
        before="".join(row.flat(row.fields.get("target_old"), "target_old")[:1]),
        subject=row.text("subject", optional=True),
        rephrasings=row.texts("rephrase"),
        text_locality=tuple(_probes(row, "locality")),
        portability=tuple(probe for probe in _probes(row, "portability") if probe.answers),
    )


def _probes(row: Row, key: str) -> Iterator[Probe]:
    for item in filter(None, row.objects(key)):
        for question, answers in row.inside(item).pairs("prompt", "answer"):
            yield Probe(question, None, answers)
