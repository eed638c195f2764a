"""RippleEdits (Cohen et al. 2023): an edit and the ripples that it makes, text alone.

`example_type, edit{prompt: a whole sentence, original_fact{prompt}}`, and six lists of tests, each
{test_queries [{prompt, answers [{value, aliases}]}]}. The sentence is cut behind its verb into a prompt and
the new answer; where the original fact is given too, within what both say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import Row

_FOLLOWS = ("Logical_Generalization", "Compositionality_I", "Compositionality_II", "Subject_Aliasing")
_SPECIFIC = ("Relation_Specificity", "Relation_Specifity")  # the authors' README spells it so
_ELSEWHERE = ("Forgetfulness",)
# every relation's sentence has one of these between its subject and its object
_VERB = re.compile(r".*(?: is followed by| is| are| follows)(?= )", re.DOTALL)


def read(row: Row) -> Case:
    """One row."""
    edit = row.fields.get("edit")
    if not isinstance(edit, dict):
        row.complain("edit is no object, expected prompt and original_fact")
        edit = {}
    inner = row.inside(edit)
    sentence, original = inner.text("prompt").rstrip("."), ""
    if isinstance(edit.get("original_fact"), dict):
        original = row.inside(edit["original_fact"]).text("prompt", optional=True).rstrip(".")
    common = os.path.commonprefix([sentence, original]) if original else sentence
    verb = _VERB.match(common) or _VERB.match(sentence)
    if sentence and not verb:
        row.complain("the prompt of edit has no is, are or follows before the new answer")
    cut = verb.end() if verb else 0
    return Case(
        id="",
        prompt=sentence[:cut],
        target=sentence[cut:].strip(),
        before=original[cut:].strip(),
        portability=tuple(probe for name in _FOLLOWS for probe in _tests(row, name) if probe.answers),
        specificity=tuple(probe for name in _SPECIFIC for probe in _tests(row, name)),
        text_locality=tuple(probe for name in _ELSEWHERE for probe in _tests(row, name)),
    )


def _tests(row: Row, name: str) -> Iterator[Probe]:
    for test in map(row.inside, row.objects(name)):
        for query in map(row.inside, test.objects("test_queries")):
            answers = map(row.inside, query.objects("answers"))
            right = (text for one in answers for text in (*one.texts("value"), *one.texts("aliases")))
            yield Probe(
                query.text("prompt"), None, tuple(dict.fromkeys(right)), name.replace("_", " ").lower()
            )
