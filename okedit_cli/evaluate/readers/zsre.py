"""zsRE in MEND's form (Levy et al. 2017, Mitchell et al. 2022): text alone.

`subject, src, alt, answers, pred, rephrase, loc, loc_ans, cond`.
"""

from __future__ import annotations

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import Row


def read(row: Row) -> Case:
    """One row; a row with an empty `alt` is no edit and is left out."""
    target = row.target("alt")
    answers = row.texts("answers")
    locality = (Probe(q, None, a) for q, a in row.pairs("loc", "loc_ans")) if "loc" in row.fields else ()
    return Case(
        id="",
        prompt=row.text("src"),
        target=target,
        before=answers[0] if answers else row.text("pred", optional=True),
        subject=row.text("subject", optional=True),
        rephrasings=row.texts("rephrase"),
        text_locality=tuple(locality),
    )
