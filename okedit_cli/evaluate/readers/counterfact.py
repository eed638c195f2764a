"""CounterFact (Meng et al. 2022), text alone: the flat form of later works and the original one.

Flat: `case_id, prompt, target_new, subject, ground_truth, rephrase_prompt, locality_prompt,
locality_ground_truth`. Original: `case_id, requested_rewrite{prompt with {}, subject, target_new.str,
target_true.str}, paraphrase_prompts, neighborhood_prompts`. A neighbour is another subject of the same
relation whose answer is the old target.

CounterFact asks each fact in paraphrases, behind a piece of unrelated text, and in generation prompts, which
ask for what follows from it ("X's favorite lunchtime work meals include", for the city that X works in). The
original form's `paraphrase_prompts` are the former; a `rephrase_prompt` of the flat form may be either, so
that its rows are reported apart: of kind `paraphrase`, or `generation`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers.rows import LeftOut, Row


def read_flat(row: Row) -> Case:
    """One row of the flat form."""
    target = row.target("target_new")
    pairs = row.pairs("locality_prompt", "locality_ground_truth") if "locality_prompt" in row.fields else ()
    subject, rephrasings = row.text("subject", optional=True), row.texts("rephrase_prompt")
    return Case(
        id=_id(row),
        prompt=row.text("prompt"),
        target=target,
        before=row.text("ground_truth", optional=True),
        subject=subject,
        rephrasings=rephrasings,
        text_locality=tuple(Probe(question, None, answers) for question, answers in pairs),
        kind=_asked_in(rephrasings, subject),
    )


def _asked_in(rephrasings: Sequence[str], subject: str) -> str:
    """Which of CounterFact's prompts a row asks in; "" where the subject does not tell."""
    if not rephrasings or not subject or any(subject not in text for text in rephrasings):
        return ""
    led_up = all(re.search(r"[.!?\n]", text[: text.index(subject)]) for text in rephrasings)
    return "paraphrase" if led_up else "generation"


def read_original(row: Row) -> Case:
    """One row of the original form."""
    rewrite = row.fields.get("requested_rewrite")
    if not isinstance(rewrite, dict):
        row.complain("requested_rewrite is no object, expected prompt, subject, target_new and target_true")
        rewrite = {}
    prompt, subject, target, true = rewritten(row.inside(rewrite))
    neighbours = (Probe(text, None, (true,) if true else ()) for text in row.texts("neighborhood_prompts"))
    return Case(
        id=_id(row),
        prompt=prompt,
        target=target,
        before=true,
        subject=subject,
        rephrasings=row.texts("paraphrase_prompts"),
        text_locality=tuple(neighbours),
    )


def rewritten(row: Row) -> tuple[str, str, str, str]:
    """(prompt with its subject in place, subject, new answer, true answer) of a `requested_rewrite`."""
    subject, prompt = row.text("subject"), row.text("prompt")
    if prompt and "{}" not in prompt:
        row.complain("the prompt of requested_rewrite has no {} for the subject")
    target, true = _answer(row, "target_new"), _answer(row, "target_true", optional=True)
    return prompt.replace("{}", subject), subject, target, true


def _answer(row: Row, key: str, *, optional: bool = False) -> str:
    value = row.fields.get(key)
    text = (
        row.inside(value).text("str", optional=optional)
        if isinstance(value, dict)
        else row.text(key, optional=optional)
    )
    if isinstance(value, dict) and value.get("str") == "" and not optional:
        raise LeftOut(f"{key} is empty")
    return text


def _id(row: Row) -> str:
    number = row.text("case_id", optional=True)
    return f"counterfact-{number}" if number else ""
