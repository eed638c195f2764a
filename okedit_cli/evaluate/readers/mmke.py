"""MMKE-Bench (Du et al. 2025): MMEdit's fields, with knowledge described at length and asked about apart.

`knowledge_type` is entity_level, user_specific or visual_knowledge. Questions about what the description
says stand in `rel_1, rel_2` (or `rel`; in words) and `m_rel_1, m_rel_2` (or `m_rel`; about the picture), the
answers in `rel_1_ans` or `rel_ans_1`: they follow from the edit, cells t-rel and m-rel of portability.
`one_hop_img` is the picture of `port_new`; `image_rephrase_question` is asked of `image_rephrase`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from okedit_cli.evaluate.case import Case, Probe
from okedit_cli.evaluate.readers import mmedit
from okedit_cli.evaluate.readers.rows import Row


def read(row: Row) -> Case:
    """One row; a row with an empty `alt` is left out."""
    case = replace(mmedit.read(row), kind=row.text("knowledge_type", optional=True))
    shown = row.picture("one_hop_img", optional=True) or case.picture
    hops = (replace(probe, picture=shown) for probe in case.portability)
    told = (*_told(row, "rel", None, "t-rel"), *_told(row, "m_rel", case.picture, "m-rel"))
    question = row.text("image_rephrase_question", optional=True)
    if question:
        held = tuple(Probe(question, picture, (case.target,), "picture") for picture in case.pictures)
        case = replace(case, pictures=(), holdout=held)
    return replace(case, portability=(*told, *hops))


def _told(row: Row, stem: str, picture: Path | None, cell: str) -> Iterator[Probe]:
    names = {stem: (f"{stem}_ans",)}
    names |= {f"{stem}_{n}": (f"{stem}_{n}_ans", f"{stem}_ans_{n}") for n in (1, 2)}
    for question, spellings in names.items():
        if row.fields.get(question) is not None:
            answer = next((name for name in spellings if name in row.fields), spellings[0])
            for text, answers in row.pairs(question, answer):
                yield Probe(text, picture, answers, cell)
