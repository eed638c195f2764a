"""ComprehendEdit (Ma et al. 2025): answers about pictures by what it takes to give them.

`pid, image, question, answer, rephrase, locality_prompt, locality_ground_truth, multimodal_locality_image,
multimodal_locality_prompt, multimodal_locality_ground_truth, Category, source`; the test split adds
`T_G_qs, T_G_ans` (the same asked so that another answer is right) and `port_T_qs, port_M_qs, port_ans`
(what follows, in words and about the picture). Its lists of nearest samples are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import Row


def read(row: Row) -> Case:
    """One row; a row with an empty answer is left out, as the authors' own loader does."""
    target, picture = row.target("answer"), row.picture("image")
    other = row.picture("multimodal_locality_image")
    follows = (
        *_probes(row, "T_G_qs", "T_G_ans", picture, "asked otherwise"),
        *_probes(row, "port_M_qs", "port_ans", picture, "picture"),
        *_probes(row, "port_T_qs", "port_ans", None, "text"),
    )
    return Case(
        id="",
        prompt=row.text("question"),
        target=target,
        picture=picture,
        rephrasings=row.texts("rephrase"),
        text_locality=tuple(_probes(row, "locality_prompt", "locality_ground_truth", None)),
        picture_locality=tuple(
            _probes(row, "multimodal_locality_prompt", "multimodal_locality_ground_truth", other)
        ),
        portability=tuple(probe for probe in follows if probe.answers),
        kind=row.text("Category", optional=True),
    )


def _probes(row: Row, question: str, answer: str, picture: Path | None, cell: str = "") -> Iterator[Probe]:
    if row.fields.get(question) is not None:
        for text, answers in row.pairs(question, answer):
            yield Probe(text, picture, answers, cell)
