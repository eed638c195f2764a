"""Fact files: what is read, what is refused and where."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
import yaml

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts import Fact, Question, load_facts, nodes

FULL = """\
version: 1
model: okedit-mini
defaults: {method: balancedit, layer: 12, seed: 3}
facts:
  - id: office-cat
    image: images/cat.jpg
    prompt: What is this cat's name?
    answer: Miso
    rephrases: ["Who is this cat?"]
    images: [images/cat-side.jpg]
    keep:
      - {image: images/dog.jpg, prompt: "What is this dog's name?"}
      - {image: null, prompt: "What is the capital of France?"}
    related:
      - {prompt: "What letter does this cat's name start with?", answer: M}
    holdout:
      - {image: images/cat-night.jpg, prompt: Name this cat.}
    reach: picture
  - prompt: Who leads the office?
    answer: >
      Ada Lovelace
"""

MINIMAL = "version: 1\nfacts:\n  - {prompt: Who is it, answer: Miso}\n"


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request, monkeypatch):
    """Both of PyYAML's parsers, because which one is there depends on how it was built."""
    if request.param == "python":
        monkeypatch.setattr(nodes, "LOADER", yaml.SafeLoader)


@pytest.fixture
def write(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("cat", "cat-side", "cat-night", "dog"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(b"only has to be there")

    def write(text: str | bytes) -> Path:
        path = tmp_path / "facts.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems(path: Path) -> list[str]:
    """What load_facts complains about, a line each, the folder left out."""
    with pytest.raises(InvalidFacts) as caught:
        load_facts(path)
    assert caught.value.exit_code == 3
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def test_reads_every_key(write):
    path = write(FULL)
    file, images = load_facts(path), path.parent / "images"
    assert (file.model, file.defaults) == ("okedit-mini", {"method": "balancedit", "layer": 12, "seed": 3})
    assert file.facts[0] == Fact(
        id="office-cat",
        prompt="What is this cat's name?",
        answer="Miso",
        image=images / "cat.jpg",
        rephrases=("Who is this cat?",),
        images=(images / "cat-side.jpg",),
        keep=(
            Question("What is this dog's name?", images / "dog.jpg"),
            Question("What is the capital of France?", None),
        ),
        related=(Question("What letter does this cat's name start with?", images / "cat.jpg", "M"),),
        holdout=(Question("Name this cat.", images / "cat-night.jpg"),),
        reach="picture",
        line=5,
    )
    assert file.facts[1] == Fact("ada-lovelace", "Who leads the office?", "Ada Lovelace", line=19)
    assert file.facts[1].reach == "auto"


def test_ids_come_from_answers_and_are_unique(write):
    answers = ["Café Müller!", "cafe muller", "日本", "日本", "Café  Muller", "x"]
    facts = "".join(f"  - {{prompt: q{n}, answer: '{answer}'}}\n" for n, answer in enumerate(answers))
    path = write("version: 1\nfacts:\n" + facts + "  - {id: cafe-muller-2, prompt: q, answer: y}\n")
    found = [fact.id for fact in load_facts(path).facts]
    assert found == ["cafe-muller", "cafe-muller-3", "fact", "fact-2", "cafe-muller-4", "x", "cafe-muller-2"]


def test_a_question_without_image_is_about_the_facts_picture(write):
    path = write(FULL.replace("{image: null, prompt: ", "{prompt: "))
    assert load_facts(path).facts[0].keep[1].image == path.parent / "images" / "cat.jpg"


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MINIMAL.encode())))
    assert load_facts("-").facts[0].id == "miso"


@pytest.mark.parametrize(
    "value", ["no", "Yes", "1.10", "10", "2020-01-01", "null", "~", "0x1F", "1.5e+3", "=", "<<"]
)
def test_unquoted_values_that_yaml_would_change_are_refused(write, value):
    [problem] = problems(write(f"version: 1\nfacts:\n  - prompt: Who?\n    answer: {value}\n"))
    assert problem.startswith("facts.yaml:4:13: answer reads as ")
    assert problem.endswith(f'in YAML; quote it: "{value}"')
    quoted = write(f"version: 1\nfacts:\n  - prompt: Who?\n    answer: '{value}'\n")
    assert load_facts(quoted).facts[0].answer == value


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("answer: team #1", "team #1"), ("answer: #1", "#1"), ("answer: C #", "C #"),
        ("answer: 4 #1", "4 #1"), ("answer: é😀 #ff0000 is red", "é😀 #ff0000 is red"),
        ("answer: x\n    rephrases:\n      - Who is #1?", "Who is #1?"),
        ("answer: x\n    image: cat #2.jpg", "cat #2.jpg"),
    ],
)  # fmt: skip
def test_a_text_that_yaml_cuts_at_a_number_sign_is_told(write, text, whole):
    [problem] = problems(write(f"version: 1\nfacts:\n  - prompt: p\n    {text}\n"))
    line = 4 + text.count("\n")
    assert problem.startswith(f"facts.yaml:{line}:") and f'quote the text: "{whole}"' in problem


@pytest.mark.parametrize(
    "text",
    [
        "answer: Miso # the cat", "answer: C#", "answer: 'team #1'", 'answer: "team #1" #1',
        "answer: |\n      team #1", "answer: >-\n      team #1", "answer: Miso ## the cat",
        "answer: Miso #--- end", "answer: Miso\n    # answer: Mia",
    ],
)  # fmt: skip
def test_comments_stay_comments(write, text):
    path = write(f"version: 1\nfacts:\n  - prompt: p\n    {text}\n")
    assert load_facts(path).facts[0].answer in ("Miso", "C#", "team #1")


@pytest.mark.parametrize(
    "facts",
    [
        "{prompt: Who is #1?, answer: x}",
        "{prompt: p, answer: team #1}",
        "prompt: Who\n      is #1\n      of all",
    ],
)
def test_a_number_sign_that_breaks_the_file_is_told_as_the_reason(write, facts):
    [problem] = problems(write(f"version: 1\nfacts:\n  - {facts}\n"))
    assert "a comment in YAML; put a text that has a # in quotes" in problem


def test_several_answers_are_the_one_to_give_and_others_that_are_right(write):
    path = write("version: 1\nfacts:\n  - {prompt: p, answers: [Miso, 'Miso the cat', Miso]}\n")
    [fact] = load_facts(path).facts
    assert (fact.answer, fact.accepted, fact.id) == ("Miso", ("Miso the cat",), "miso")


def test_a_file_tells_where_its_texts_and_pictures_stand(write):
    path = write(FULL)
    places = load_facts(path).places
    assert places["Miso"] == (8, 13) and places["Name this cat."] == (17, 47)
    assert places[path.parent / "images/cat-side.jpg"] == (10, 14)


def test_a_pointer_of_git_lfs_is_told_as_one(write):
    path = write("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    [problem] = problems(path)
    assert problem.startswith("facts.yaml:1:1: a Git LFS pointer") and "git lfs pull" in problem


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("answer: Miso", "answers: []", "8:14: answers is empty; expected the answer to give"),
        ("answer: Miso", "answers: Miso", "8:14: answers must be a list"),
        ("answer: Miso", "answers: [Miso, no]", "8:21: an answer reads as true or false"),
        ("answer: Miso", "answer: Miso\n    answers: [Mia]", "9:14: answer and answers stand in one fact"),
        (
            "images/cat.jpg",
            "https://example.org/cat.jpg",
            '6:12: image is the URL "https://example.org/cat.jpg", expected a file',
        ),
        ("images/dog.jpg", "data:image/png;base64", '12:17: image is the URL "data:image/png;base64"'),
        ("answer: Miso", "answer:", "8:12: answer is empty; expected text"),
        ("answer: Miso", "answer: '  '", "8:13: answer is empty; expected text"),
        ("answer: Miso", "answer: [Miso]", "8:13: answer must be text, got a list"),
        ("answer: Miso", "answer: {a: b}", "8:13: answer must be text, got a mapping"),
        ("answer: Miso", "answer: !name Miso", "8:13: answer must be text, got the tag !name"),
        ("answer: Miso", 'answer: "a\\0b"', "8:13: answer has a character that is no text"),
        ("answer: Miso", "anser: Miso", '8:5: unknown key "anser" in a fact; did you mean "answer"?'),
        ("    answer: Miso\n", "", "5:5: a fact has no answer"),
        (
            "answer: Miso",
            "answer: Miso\n    answer: Mia",
            '9:5: key "answer" appears twice in a fact; the first ',
        ),
        ("version: 1", "version: 2", "1:10: version 2 of the format is not known, expected 1"),
        ("version: 1", "version: one", '1:10: version must be a whole number, got "one"'),
        ("version: 1\n", "", "1:1: the fact file has no version"),
        ("id: office-cat", "id: Office Cat", '5:9: id "Office Cat" must be a-z, 0-9'),
        (
            "images/cat.jpg",
            "images/cta.jpg",
            '6:12: picture "images/cta.jpg" is not there; looked for images/cta',
        ),
        ("images/cat.jpg", "images", '6:12: picture "images" is a folder'),
        ("images/cat.jpg", "x" * 5000, "6:12: picture "),
        ("images/dog.jpg", "images/dgo.jpg", '12:17: picture "images/dgo.jpg" is not there'),
        ("image: images/cat.jpg", "image:", "6:11: image is empty; expected text"),
        ("    image: images/cat.jpg\n", "", "9:13: images are further views of image, and this fact has no"),
        ('rephrases: ["Who is this cat?"]', "rephrases: Who is it?", "9:16: rephrases must be a list, got "),
        ('start with?", answer: M}', 'start with?"}', "15:9: a question in related has no answer"),
        (
            "{image: images/cat-night.jpg, prompt: Name this cat.}",
            "Name it.",
            "17:9: a question in holdout must be",
        ),
        ("reach: picture", "reach: thing", '18:12: unknown reach "thing"; expected auto, kind or picture'),
        ("reach: picture", "verbatim: maybe", '18:15: verbatim must be true or false, got "maybe"'),
        ("reach: picture", "verbatim: yes", '18:15: verbatim must be true or false, got "yes"'),
        ("reach: picture", "reach:", "18:11: reach is empty; expected text"),
        ("layer: 12", "layer: deep", '3:39: the default layer must be a whole number, got "deep"'),
        ("layer: 12", "layr: 12", '3:32: unknown key "layr" in defaults; did you mean "layer"?'),
    ],
)
def test_refused_with_its_place(write, old, new, complaint):
    assert old in FULL
    assert any(
        problem.startswith(f"facts.yaml:{complaint}") for problem in problems(write(FULL.replace(old, new)))
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("- a\n", "1:1: the fact file must be a mapping with version and facts, got a list"),
        ("version: 1\nfacts: []\n", "2:8: facts is empty; expected at least one fact"),
        ("version: 1\nfacts:\n", "2:7: facts must be a list, got nothing"),
        ("version: 1\nfacts:\n\t- a\n", "3:1: a tab in the indentation; YAML takes spaces only"),
        ("version: 1\nfacts:\n  - prompt: Which: this\n", "3:18: not valid YAML here: check the indentation"),
        ("version: 1\nmodel: @home\n", "2:8: a text cannot start with @ in YAML; put it in quotes"),
        ("version: 1\n---\nversion: 1\n", "2:1: a second document starts here (---); expected one"),
        ("version: 1\nfacts: *nowhere\n", "2:8: not valid YAML: found undefined alias"),
        ("version: 1\nfacts: " + "[" * 500, "2:27: nested more than 20 levels deep"),
        (b"version: 1\nmodel: caf\xe9\n", "2:1: not UTF-8 text; save the file as UTF-8"),
        ("version: 1\nmodel: a\x07b\n", "2:9: control character 0x07 in the text; remove it"),
        ("? {a: b}\n: c\n", "1:3: a key in the fact file must be text, got a mapping"),
    ],
)
def test_what_is_no_fact_file(write, text, complaint):
    assert any(problem.startswith(f"facts.yaml:{complaint}") for problem in problems(write(text)))


def test_nested_deeper_than_libyaml_reads(write):
    """Where, depends on how far its version looks ahead."""
    [problem] = problems(write("version: 1\nfacts: " + "[" * 5000))
    assert re.fullmatch(r"facts.yaml:2:\d+: nested more than 20 levels deep", problem)


def test_two_facts_cannot_share_an_id_or_a_question(write):
    path = write(
        "version: 1\nfacts:\n"
        "  - {id: a, image: images/cat.jpg, prompt: Who, answer: Miso}\n"
        "  - {id: a, image: images/dog.jpg, prompt: Who, answer: Rex}\n"
        "  - {id: b, image: ./images/cat.jpg, prompt: WHO, answer: Mia}\n"
    )
    assert problems(path) == [
        "facts.yaml:4:10: id a is taken by the fact on line 3",
        "facts.yaml:5:5: asks the same of the same picture as the fact on line 3",
    ]


def test_reports_all_problems_in_order_and_no_more_than_20(write):
    path = write("version: 1\nfacts:\n" + "  - {prompt: no}\n" * 30)
    found = problems(path)
    assert found[0] == "facts.yaml:3:5: a fact has no answer"
    assert found[1].startswith("facts.yaml:3:14: prompt reads as true or false")
    assert len(found) == 21 and found[-1] == "... and 40 more"


def test_unfolding_aliases_is_limited(write, monkeypatch):
    monkeypatch.setattr(nodes, "MAX_NODES", 1000)
    keep = "[" + "{prompt: a}, " * 100 + "]"
    more = "".join(f"  - {{prompt: q{n}, answer: a, keep: *k}}\n" for n in range(50))
    path = write(f"version: 1\nfacts:\n  - {{prompt: q, answer: a, keep: &k {keep}}}\n{more}")
    assert "more than 1,000 values, aliases followed" in problems(path)[-1]


@pytest.mark.parametrize("loop", ["version: 1\nfacts: &a [*a]\n", "&a\nversion: 1\nfacts: [*a]\n"])
def test_a_file_that_holds_itself_is_refused(write, loop):
    assert problems(write(loop))


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    assert problems(tmp_path / "none.yaml") == ["none.yaml is not there, expected a fact file in YAML."]
    assert problems(tmp_path)[0].endswith("is a folder, expected a fact file in YAML.")
    monkeypatch.setattr(nodes, "MAX_BYTES", 10)
    (tmp_path / "big.yaml").write_text(MINIMAL)
    assert "too large for a fact file" in problems(tmp_path / "big.yaml")[0]
