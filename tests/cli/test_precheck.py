"""What okedit edit finds wrong with facts before they are fitted, all at once and each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


def picture(name: str, colour: str = "red", **options) -> None:
    Image.new("RGB", (8, 6), colour).save(name, **options)


def told(okedit, text: str, fitted: dict) -> list[str]:
    """What `edit` refuses a fact file with, a line each; nothing is fitted."""
    Path("f.yaml").write_text("version: 1\nfacts:\n" + text, encoding="utf-8")
    result = okedit("edit", "f.yaml", "-o", "x.safetensors")
    assert (result.exit_code, fitted, Path("x.safetensors").exists()) == (3, {}, False), result.stderr
    lines = result.stderr.splitlines()
    return [
        line.removeprefix("error: ") for line in lines if line.startswith(("error: ", "hint: ", "f.yaml:"))
    ]


def test_all_broken_pictures_are_named_at_once_with_lines_and_columns(okedit, world):
    for name in ("a.png", "b.png", "c.png"):
        Path(name).write_bytes(b"no picture")
    picture("d.png")
    lines = told(
        okedit,
        "  - {prompt: p, answer: x, image: a.png}\n"
        "  - prompt: q\n    answer: y\n    image: d.png\n    images:\n      - b.png\n"
        "    keep: [{prompt: r, image: c.png}, {prompt: s, image: a.png}]\n",
        world.fitted,
    )
    assert not world.opened
    assert [line.split(" is of a kind")[0] for line in lines[:3]] == [
        "f.yaml:3:35: picture a.png", "f.yaml:8:9: picture b.png", "f.yaml:9:31: picture c.png",
    ]  # fmt: skip
    assert len(lines) == 4 and lines[3].startswith("hint: ")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("prompt: Who is it?, answer: Miso, image: a.png", "prompt: Who is it?, answer: Mia, image: b.png"),
        ("prompt: Who is it?, answer: Miso, image: a.png", "prompt: who is it, answer: Mia, image: a.png"),
        (
            "prompt: Who is it?, answer: Miso, image: a.png",
            "prompt: Name it., rephrases: ['Who is it?'], answer: Mia, image: c.bmp",
        ),
        (
            "prompt: Who is it?, answer: Miso, image: d.png, images: [a.png]",
            "prompt: Who is it?, answer: Mia, image: b.png",
        ),
        ("prompt: Who leads?, answer: Ada", "prompt: The head is, rephrases: ['Who leads?'], answer: Eve"),
    ],
)
def test_two_answers_to_one_question_about_one_picture(okedit, world, first, second):
    """One picture is the same pixels, whatever the file is called and however it is packed."""
    picture("a.png")
    picture("b.png", compress_level=0)
    picture("c.bmp")
    picture("d.png", "blue")
    facts = f"  - {{id: one, {first}}}\n  - {{id: two, {second}}}\n"
    [line, hint] = told(okedit, facts, world.fitted)
    assert not world.opened and line.startswith("f.yaml:4: fact two asks the same")
    assert "as fact one (line 3)" in line and "contradicts it" in line and hint.startswith("hint: ")


@pytest.mark.parametrize(
    "second",
    [
        "prompt: Who is it?, answer: Mia, image: d.png", "prompt: Whose is it?, answer: Mia, image: b.png",
        "prompt: Who is it?, answer: miso., image: b.png", "prompt: Who is it?, answer: Mia",
        "prompt: Who is it?, answers: [Mia, Miso], image: b.png",
    ],
)  # fmt: skip
def test_what_is_no_contradiction_is_fitted(okedit, world, second):
    picture("a.png")
    picture("b.png")
    picture("d.png", "blue")
    facts = f"  - {{id: one, prompt: Who is it?, answer: Miso, image: a.png}}\n  - {{id: two, {second}}}\n"
    Path("f.yaml").write_text("version: 1\nfacts:\n" + facts)
    result = okedit("edit", "f.yaml", "-o", "x.safetensors")
    assert result.exit_code == 0 and world.fitted["facts"] == ["one", "two"], result.stderr


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("prompt: Who says <|im_end|>?\n    answer: x", "3:13", "prompt"),
        ("prompt: p\n    answer: a<|im_end|>", "4:13", "answer"),
        ("prompt: p\n    answers: [x, <|im_end|>]", "4:18", "an accepted answer"),
        ("prompt: p\n    answer: x\n    rephrases: [<|im_end|> q]", "5:17", "a rephrase"),
        ("prompt: p\n    answer: x\n    keep: [{prompt: <|im_end|>}]", "5:21", "a prompt in keep"),
        (
            "prompt: p\n    answer: x\n    related: [{prompt: q, answer: <|im_end|>}]", "5:35",
            "an answer in related",
        ),
    ],
)  # fmt: skip
def test_control_tokens_of_the_model_are_told_before_fitting(okedit, world, text, place, what):
    [line, hint] = told(okedit, f"  - {text}\n", world.fitted)
    assert line.startswith(f"f.yaml:{place}: {what} has <|im_end|>, a control token of okedit-mini")
    assert hint.startswith("hint: ")
