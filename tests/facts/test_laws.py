"""Laws of fact files: any bytes give facts or a complaint with its place, and what is dumped loads again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts import REACHES, Fact, FactFile, Question, dump_facts, load_facts, nodes
from okedit_cli.facts.reader import FactReader


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request, monkeypatch):
    """Both of PyYAML's parsers, because which one is there depends on how it was built."""
    if request.param == "python":
        monkeypatch.setattr(nodes, "LOADER", yaml.SafeLoader)


_FRAGMENTS = [
    "version: 1\n",
    "facts:\n",
    "  - ",
    "prompt: a\n",
    "answer: b\n",
    "keep: ",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n",
]
_FRAGMENTS += [
    "&a ",
    "*a",
    "? ",
    "|\n",
    ">",
    "!!int ",
    '"\\ud800"',
    '"\\U00110000"',
    "'",
    '"',
    "\t",
    "- ",
    "<<: ",
    "%",
]


def _load_bytes(data: bytes, folder: Path) -> FactFile:
    return FactReader(nodes.Document(data, "facts.yaml"), folder).read(folder / "facts.yaml")


@given(
    st.one_of(
        st.binary(),
        st.text().map(str.encode),
        st.lists(st.sampled_from(_FRAGMENTS)).map("".join).map(str.encode),
    )
)
def test_any_bytes_give_facts_or_problems_with_a_line(data):
    try:
        assert _load_bytes(data, Path()).facts
    except InvalidFacts as error:
        assert str(error).startswith("facts.yaml:")


_texts = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
    .map(str.strip)
    .filter(bool)
)
_ids = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)
_pictures = st.sampled_from(["a.png", "b c.png", "sub/ü.png"])


@st.composite
def _fact_lists(draw):
    def pictures(folder):
        return _pictures.map(lambda name: folder / name)

    root = Path("pictures")
    facts = []
    for identity in draw(st.lists(_ids, min_size=1, max_size=4, unique=True)):
        image = draw(st.none() | pictures(root))
        questions = st.builds(Question, _texts, st.none() | pictures(root))
        related = st.builds(Question, _texts, st.none() | pictures(root), _texts)
        facts.append(
            Fact(
                id=identity,
                prompt=draw(_texts) + f" {identity}",  # no two facts ask the same
                answer=(answer := draw(_texts)),
                accepted=tuple(
                    draw(st.lists(_texts.filter(lambda text: text != answer), max_size=2, unique=True))
                ),
                image=image,
                rephrases=tuple(draw(st.lists(_texts, max_size=2))),
                images=tuple(draw(st.lists(pictures(root), max_size=2))) if image else (),
                keep=tuple(draw(st.lists(questions, max_size=2))),
                related=tuple(draw(st.lists(related, max_size=2))),
                holdout=tuple(draw(st.lists(questions, max_size=2))),
                reach=draw(st.sampled_from(REACHES)),
                verbatim=draw(st.sampled_from([None, True, False])),
            )
        )
    return facts


@given(facts=_fact_lists(), model=st.none() | _texts)
def test_what_is_dumped_loads_as_the_same_facts(tmp_path_factory, facts, model):
    folder = tmp_path_factory.getbasetemp() / "dumped"
    (folder / "pictures" / "sub").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b c.png", "sub/ü.png"):
        (folder / "pictures" / name).touch()

    def placed(question):
        return dataclasses.replace(question, image=question.image and folder / question.image)

    facts = [
        dataclasses.replace(
            fact,
            image=fact.image and folder / fact.image,
            images=tuple(folder / image for image in fact.images),
            keep=tuple(map(placed, fact.keep)),
            related=tuple(map(placed, fact.related)),
            holdout=tuple(map(placed, fact.holdout)),
        )
        for fact in facts
    ]
    file = FactFile(folder / "facts.yaml", tuple(facts), model, {"layer": "auto", "seed": 7})
    dump_facts(file, file.path)
    loaded = load_facts(file.path)
    assert (
        dataclasses.replace(loaded, facts=tuple(dataclasses.replace(f, line=0) for f in loaded.facts)) == file
    )
