"""KnowEdit (Zhang et al. 2024): WikiData recent and counterfact, zsRE and WikiBio, text alone.

`subject, prompt, target_new, ground_truth, rephrase_prompt, portability{Reasoning, Subject_Aliasing,
Logical_Generalization}, locality{Relation_Specificity, Forgetfulness}`; WikiBio has `text, labels, concept`.
`ground_truth` is a text, a list, or a list of lists; any of the texts in it is taken as right.
"""

from __future__ import annotations

from collections.abc import Iterator

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import LeftOut, Row, flat_texts

# other relations of the same subject are to text what other questions about the same picture are to pictures
_SPECIFIC = "Relation_Specificity"


def read(row: Row) -> Case:
    """One row; a row with an empty target is left out."""
    fields = row.fields
    key = "target_new" if "target_new" in fields else "labels"
    if isinstance(fields.get(key), list) and not any(flat_texts(fields[key])):
        raise LeftOut(f"{key} is empty")
    target = next(iter(flat_texts(fields[key])), "") if isinstance(fields.get(key), list) else row.target(key)
    before = next(iter(flat_texts(fields.get("ground_truth"))), "")
    locality = dict(_groups(row, "locality"))
    specific = locality.pop(_SPECIFIC, ())
    elsewhere = (probe for probes in locality.values() for probe in probes)
    follows = (probe for _, probes in _groups(row, "portability") for probe in probes)
    return Case(
        id="",
        prompt=row.text("prompt" if "prompt" in fields else "text"),
        target=target,
        before=before,
        subject=row.text("subject" if "subject" in fields else "concept", optional=True),
        rephrasings=row.texts("rephrase_prompt") or row.texts("rephrase"),
        text_locality=tuple(elsewhere),
        specificity=specific,
        portability=tuple(probe for probe in follows if probe.answers),
    )


def _groups(row: Row, key: str) -> Iterator[tuple[str, tuple[Probe, ...]]]:
    """Name and questions of each group in `portability` or `locality`."""
    value = row.fields.get(key)
    if value is None:
        return
    if not isinstance(value, dict):
        row.complain(f"{key} is no object, expected groups of questions")
        return
    for name in value:
        probes = []
        for item in map(row.inside, row.inside(value).objects(name)):
            answers = tuple(dict.fromkeys(flat_texts(item.fields.get("ground_truth"))))
            for prompt in item.texts("prompt", optional=False):
                probes.append(Probe(prompt, None, answers, name.replace("_", " ").lower()))
        yield name, tuple(probes)
