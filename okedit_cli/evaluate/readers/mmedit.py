"""MMEdit (E-VQA, E-IC; Cheng et al. 2023) and VLKEB (Huang et al. 2024): the same fields, VLKEB with hops.

`src, pred, rephrase, alt, image, image_rephrase, loc, loc_ans, m_loc, m_loc_q, m_loc_a`. VLKEB's `port_new`
is [{port_type, "Q&A": {Question, Answer}}] in the multi-hop file and [{port_edit_q, port_edit_a, port_q,
port_a}] in the one-hop file. E-VQA rows may carry OKEDIT's `rephrased_questions_train`.
"""

from __future__ import annotations

from okedit_cli.evaluate.case import Case, Probe, Train
from okedit_cli.evaluate.readers.rows import Row


def read(row: Row) -> Case:
    """One row; a row with an empty `alt` is left out, as the authors' own loaders do."""
    target, picture = row.target("alt"), row.picture("image")
    portability, supporting = _portability(row, picture)
    return Case(
        id="",
        prompt=row.text("src"),
        target=target,
        picture=picture,
        before=row.text("pred", optional=True).replace("_", " "),
        rephrasings=row.texts("rephrase", optional=False),
        pictures=row.pictures("image_rephrase"),
        text_locality=_probe(row, "loc", "loc_ans"),
        picture_locality=_probe(row, "m_loc_q", "m_loc_a", "m_loc"),
        portability=portability,
        supporting=supporting,
        train=Train(rephrasings=row.texts("rephrased_questions_train")),
        kind=row.text("kind", optional=True),
    )


def _probe(row: Row, question: str, answer: str, picture: str | None = None) -> tuple[Probe, ...]:
    if question not in row.fields and not (picture and picture in row.fields):
        return ()
    pairs = row.pairs(question, answer)
    shown = row.pictures(picture) if picture else (None,)
    if picture and not shown:
        row.complain(f"{picture} is missing, expected a picture")
    if len(shown) not in (1, len(pairs)):
        row.complain(f"{question} has {len(pairs)} entries and {picture} {len(shown)}")
        return ()
    pictures = shown * len(pairs) if len(shown) == 1 else shown
    return tuple(Probe(text, one, right) for (text, right), one in zip(pairs, pictures, strict=True))


def _portability(row: Row, picture) -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    """(questions by hop on the edit's picture, the one-hop facts that they rest on)."""
    hops, facts = [], []
    for item in map(row.inside, row.objects("port_new")):
        if "Q&A" in item.fields:
            for pair in map(row.inside, item.objects("Q&A")):
                cell = item.text("port_type")
                hops.append(Probe(pair.text("Question"), picture, pair.texts("Answer", optional=False), cell))
        else:
            hops.append(Probe(item.text("port_q"), picture, item.texts("port_a", optional=False), "1-hop"))
            if "port_edit_q" in item.fields:
                answers = item.texts("port_edit_a", optional=False)
                facts.append(Probe(item.text("port_edit_q"), None, answers))
    return tuple(hops), tuple(facts)
