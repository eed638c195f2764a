"""Facts out: the YAML of a fact file, which the reader gives back as it was."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from okedit_cli.facts.schema import VERSION, Fact, FactFile, Question


def dump_facts(facts: FactFile | Sequence[Fact], path: str | os.PathLike[str]) -> None:
    """Write facts as a fact file, pictures relative to it; load_facts gives them back, texts stripped."""
    Path(path).write_text(facts_text(facts, Path(path).parent), encoding="utf-8")


def facts_text(facts: FactFile | Sequence[Fact], folder: Path) -> str:
    """The text of a fact file that is to lie in `folder`."""
    file = facts if isinstance(facts, FactFile) else FactFile(folder, tuple(facts))
    content: dict = {"version": VERSION}
    content |= {"model": file.model} if file.model else {}
    content |= {"defaults": dict(file.defaults)} if file.defaults else {}
    content["facts"] = [_plain_fact(fact, folder) for fact in file.facts]
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """PyYAML's, which loses unusual line breaks unless the text stands in double quotes."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    unusual = any(sign in text for sign in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if unusual else None)


_Dumper.add_representer(str, _represent_text)


def _plain_fact(fact: Fact, folder: Path) -> dict:
    plain: dict = {"id": fact.id}
    if fact.image is not None:
        plain["image"] = _relative(fact.image, folder)
    plain["prompt"] = fact.prompt
    plain |= {"answers": [fact.answer, *fact.accepted]} if fact.accepted else {"answer": fact.answer}
    plain |= {"reach": fact.reach} if fact.reach != "auto" else {}
    plain |= {"verbatim": fact.verbatim} if fact.verbatim is not None else {}
    if fact.rephrases:
        plain["rephrases"] = list(fact.rephrases)
    if fact.images:
        plain["images"] = [_relative(image, folder) for image in fact.images]
    for key in ("keep", "related", "holdout"):
        if questions := getattr(fact, key):
            plain[key] = [_plain_question(question, fact.image, folder) for question in questions]
    return plain


def _plain_question(question: Question, own: Path | None, folder: Path) -> dict:
    plain: dict = {}
    if question.image != own:
        plain["image"] = None if question.image is None else _relative(question.image, folder)
    plain["prompt"] = question.prompt
    if question.answer is not None:
        plain["answer"] = question.answer
    return plain


def _relative(picture: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(picture, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return str(picture)
