"""MQuAKE (Zhong et al. 2023): multi-hop questions that rest on one edit or several, text alone.

`case_id, requested_rewrite [as CounterFact's, with a `question` each], questions, new_answer,
new_answer_alias, new_single_hops`. The first rewrite is the edit, the others are facts that the questions
rest on: `--one-hop` edits them as well. How many hops and edits a question takes is its cell.
"""

from __future__ import annotations

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.counterfact import rewritten
from okedit_cli.evaluate.readers.rows import LeftOut, Row


def read(row: Row) -> Case:
    """One row; a row without an edit is left out."""
    rewrites = [row.inside(rewrite) for rewrite in row.objects("requested_rewrite")]
    if not rewrites:
        raise LeftOut("requested_rewrite is empty")
    (prompt, subject, target, before), *others = map(rewritten, rewrites)
    right = tuple(filter(None, (row.text("new_answer"), *row.texts("new_answer_alias"))))
    hops = len(row.objects("new_single_hops"))
    cell = f"{hops}-hop" if hops else "multi-hop"
    cell += f", {len(rewrites)} edits" if others else ""
    number = row.text("case_id", optional=True)
    return Case(
        id=f"mquake-{number}" if number else "",
        prompt=prompt,
        target=target,
        accepted=_others(rewrites[0].texts("answer_alias"), target),
        before=before,
        subject=subject,
        rephrasings=rewrites[0].texts("question"),
        portability=tuple(
            Probe(question, None, right, cell) for question in row.texts("questions", optional=False)
        ),
        supporting=tuple(Probe(text, None, (answer,)) for text, _, answer, _ in others),
    )


def _others(answers: tuple[str, ...], target: str) -> tuple[str, ...]:
    return tuple(answer for answer in dict.fromkeys(answers) if answer != target)
