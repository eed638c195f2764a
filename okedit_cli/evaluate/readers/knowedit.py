"""KnowEdit (Zhang et al. 2024): WikiData recent and counterfact, zsRE and WikiBio, text alone.

`subject, prompt, target_new, ground_truth, rephrase_prompt, portability{Reasoning, Subject_Aliasing,
Logical_Generalization}, locality{Relation_Specificity, Forgetfulness}`; WikiBio has `text, labels, concept`.
`ground_truth` is a text, a list, or a list of lists; any of the texts in it is taken as right, and of a list
along with a list of prompts each prompt's own entry.
"""

from __future__ import annotations

from collections.abc import Iterator

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import Row

# other relations of the same subject are to text what other questions about the same picture are to pictures
_SPECIFIC = "Relation_Specificity"


def read(row: Row) -> Case:
    """One row; a row with an empty target is left out."""
    fields = row.fields
    key = "target_new" if "target_new" in fields else "labels"
    targets = row.targets(key)
    before = row.flat(fields.get("ground_truth"), "ground_truth")[:1]
    locality = dict(_groups(row, "locality"))
    specific = locality.pop(_SPECIFIC, ())
    elsewhere = (probe for probes in locality.values() for probe in probes)
    follows = (probe for _, probes in _groups(row, "portability") for probe in probes)
    return Case(
        id="",
        prompt=row.text("prompt" if "prompt" in fields else "text"),
        target=targets[0],
        accepted=targets[1:],
        before="".join(before),
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
            for prompt, answers in item.pairs("prompt", "ground_truth"):
                probes.append(Probe(prompt, None, answers, name.replace("_", " ").lower()))
        yield name, tuple(probes)
