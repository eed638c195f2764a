"""OKEDIT (BalancEdit, Guo et al. 2025): ten rephrased questions, ten other pictures, one that differs.

The authors' two files: annotations {annotations: [{question_id, image_id, answers: [{answer}],
counterfact_answer, counterfact_type, image_object, locality_answer}]} and, beside them,
questions {questions: [{question_id, question, rephrased_questions}]}. Their pictures go by number below
the picture root: val2014/COCO_val2014_<image_id, 12 digits>.jpg, generality/<question_id>/*,
locality/<question_id>/0.png.

okedit's own sets hold both in one row, and name their pictures: `image`, `image_rephrase` [..],
`locality_image`, and may add `image_rephrase_kind` and `locality_image_kind` (along with the pictures:
"view", "artist", "photograph"; "near", "unrelated"), `loc`/`loc_ans`, `same_image` [{question, answer}],
`portability` [{hop, question, answer}], `kind`, and `reach` ("kind": the edit is about every picture of such
a thing; "picture": about this one). `images` are further pictures of the thing that are given to the edit;
they and the `*_train` fields are what a method may be fitted to, nothing else is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from okedit_cli.errors import InvalidFacts
from okedit_cli.evaluate.case import Case, Probe, Train
from okedit_cli.evaluate.readers.rows import Row, Table
from okedit_cli.evaluate.readers.source import parsed

SPLIT = "val2014"
_REACHES = ("", "kind", "picture")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def prepare(table: Table) -> None:
    """Give each annotation the question that stands in the file beside it. InvalidFacts: there is none."""
    if all(isinstance(row, dict) and "question" in row for row in table.rows):
        return
    questions = _questions(table.path)
    for number, row in enumerate(table.rows, 1):
        if isinstance(row, dict) and "question" not in row:
            found = questions.get(row.get("question_id"))
            if found is None:
                table.complain(number, f"no question has question_id {row.get('question_id')}")
                continue
            row.update({key: value for key, value in found.items() if key not in row})
    table.check()


def read(row: Row) -> Case:
    """One row; a row with an empty `counterfact_answer` is left out."""
    target, prompt = row.target("counterfact_answer"), row.text("question")
    picture = row.picture("image") if "image" in row.fields else _numbered(row)
    identity = row.text("question_id", optional=True)
    if "image_rephrase" in row.fields:
        pictures = row.pictures("image_rephrase")
    else:
        pictures = _files(row.table.images / "generality" / identity)
    if "locality_image" in row.fields:
        locality = row.pictures("locality_image")
    else:
        locality = (row.table.images / "locality" / identity / "0.png",) if "image" not in row.fields else ()
    right = row.texts("locality_answer")
    answers = [text for item in row.objects("answers") for text in row.flat(item.get("answer"), "answer")]
    others = (Probe(q, None, a) for q, a in row.pairs("loc", "loc_ans")) if "loc" in row.fields else ()
    same = map(row.inside, row.objects("same_image"))
    hops = map(row.inside, row.objects("portability"))
    return Case(
        id=f"okedit-{identity}" if identity else "",
        prompt=prompt,
        target=target,
        picture=picture,
        before=answers[0] if answers else "",
        subject=row.text("image_object", optional=True),
        rephrasings=row.texts("rephrased_questions"),
        truth=tuple(answers),
        pictures=pictures,
        picture_cells=_cells(row, "image_rephrase_kind", len(pictures)),
        text_locality=tuple(others),
        picture_locality=_other_pictures(row, prompt, locality, right),
        specificity=tuple(Probe(item.text("question"), picture, item.texts("answer")) for item in same),
        portability=tuple(
            Probe(i.text("question"), picture, i.texts("answer", optional=False), _hop(i)) for i in hops
        ),
        train=_train(row, prompt),
        kind=row.text("kind", optional=True) or row.text("counterfact_type", optional=True),
        reach=_reach(row),
    )


def _other_pictures(
    row: Row, prompt: str, pictures: tuple[Path, ...], right: tuple[str, ...]
) -> tuple[Probe, ...]:
    """The prompt on other pictures: an answer each where there are as many, else any of them."""
    cells = _cells(row, "locality_image_kind", len(pictures)) or ("",) * len(pictures)
    apart = len(pictures) == len(right) > 1
    return tuple(
        Probe(prompt, picture, right[place : place + 1] if apart else right, cell)
        for place, (picture, cell) in enumerate(zip(pictures, cells, strict=True))
    )


def _cells(row: Row, key: str, count: int) -> tuple[str, ...]:
    """What each other picture is; () where the row does not tell, and a complaint for another number."""
    cells = row.texts(key)
    if cells and len(cells) != count:
        row.complain(f"{key} has {len(cells)} entries for {count} pictures")
        return ()
    return cells


def _reach(row: Row) -> str:
    """How far the edit is meant, "" where the row does not tell; a complaint for a word unknown."""
    reach = row.text("reach", optional=True)
    if reach not in _REACHES:
        row.complain(f"reach is {reach!r}, expected {' or '.join(filter(None, _REACHES))}")
        return ""
    return reach


def _train(row: Row, prompt: str) -> Train:
    keep = (Probe(prompt, picture) for picture in row.pictures("locality_image_train"))
    pictures = (*row.pictures("images"), *row.pictures("image_rephrase_train"))
    return Train(row.texts("rephrased_questions_train"), pictures, tuple(keep))


def _hop(row: Row) -> str:
    hop = row.text("hop")
    return f"{hop}-hop" if hop.isdigit() else hop


def _numbered(row: Row) -> Path | None:
    number = row.text("image_id")
    if not number:
        return None
    return row.table.images / SPLIT / f"COCO_{SPLIT}_{number.zfill(12)}.jpg"


def _files(folder: Path) -> tuple[Path, ...]:
    """The pictures in a folder by name; a folder that is not there counts as its first picture missing."""
    if not folder.is_dir():
        return (folder / "0.png",)
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES))


def _questions(path: Path) -> dict[Any, dict[str, Any]]:
    """question_id -> row of the questions file beside the annotations."""
    beside = [p for p in sorted(path.parent.glob("*questions*.json")) if p != path]
    if not beside:
        raise InvalidFacts(
            f"{path} has annotations without questions, expected a *questions*.json beside it.",
            hint="OKEDIT keeps the two apart; put both files into one folder.",
        )
    value = parsed(beside[0], beside[0].read_bytes())
    rows = value.get("questions") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise InvalidFacts(f"{beside[0]} has no list of questions.")
    return {row.get("question_id"): row for row in rows if isinstance(row, dict)}
