"""Cases in two forms: the fields of OKEDIT, and okedit's fact files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from okedit_cli.facts import Fact, Question, dump_facts

Row = dict[str, Any]


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Rows in OKEDIT's fields, pictures relative to the file."""
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_facts(rows: Sequence[Row], path: Path) -> None:
    """The same as a fact file: rephrasings and other pictures are held out, portability is related."""
    dump_facts([_fact(row, path.parent) for row in rows], path)


def _fact(row: Row, folder: Path) -> Fact:
    picture = folder / row["image"]
    follows = row.get("portability", ())
    related = (Question(item["question"], picture, item["answer"][0]) for item in follows)
    texts = (Question(text, picture) for text in row["rephrased_questions"])
    pictures = (Question(row["question"], folder / name) for name in row["image_rephrase"])
    return Fact(
        id=row["question_id"],
        prompt=row["question"],
        answer=row["counterfact_answer"],
        image=picture,
        images=tuple(folder / name for name in row.get("images", ())),
        related=tuple(related),
        holdout=(*texts, *pictures),
        reach=row.get("reach", "auto"),
    )
