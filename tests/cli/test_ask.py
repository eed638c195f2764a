"""okedit ask: what it asks, with which bundles, and what goes to which stream."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from okedit_cli.scope.explain import verdict_words
from okedit_cli.scope.verdict import Candidate, Verdict


@pytest.fixture
def bundles(world):
    Path("bundles").mkdir()
    for name, content in (("a", "fits"), ("b", "other"), ("c", "soft"), ("d", "no bundle")):
        Path(f"bundles/{name}.safetensors").write_text(content)


def test_the_answer_streams_to_stdout_alone(okedit, world):
    result = okedit("ask", "Who?", "--image", "cat.png", "--max-tokens", "5")
    assert (result.exit_code, result.stdout) == (0, "a|cat|\n")
    assert world.asked == [("Who?", (8, 6), 5)]
    assert "edits: none, no bundle in ./bundles fits this model" in result.stderr
    assert "model: okedit-mini on cpu in float32" in result.stderr


def test_every_bundle_in_the_folder_that_fits_is_attached_and_the_others_are_named(okedit, bundles):
    result = okedit("ask", "Who?")
    assert result.stdout == "Miso|[bold]|\n"
    assert "edits: bundles/a.safetensors, bundles/c.safetensors\n" in result.stderr
    assert "left out: bundles/b.safetensors: Made for another model" in result.stderr
    assert "left out: bundles/d.safetensors: " in result.stderr
    assert "warning: bundles/c.safetensors: dtype differs" in result.stderr


def test_strictness_is_the_bundles_unless_told(okedit, bundles, world):
    for told, env, found in (
        ([], {}, None), (["--strictness", "0.75"], {}, 0.75), ([], {"OKEDIT_STRICTNESS": "0"}, 0.0),
    ):  # fmt: skip
        assert okedit("ask", "Who?", *told, env=env).exit_code == 0 and world.strictness == found
    assert okedit("ask", "Who?", "--strictness", "1.5").exit_code == 2


def test_quiet_leaves_the_warnings(okedit, bundles):
    assert okedit("ask", "Who?", "-q").stderr == "warning: bundles/c.safetensors: dtype differs\n"


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        ("b", 4, "error: bundles/b.safetensors: Made for another model: hidden size 8, this one has 16."),
        ("d", 3, "error: bundles/d.safetensors is not a bundle."),
        ("e", 1, "error: bundles/e.safetensors is not there."),
    ],
)
def test_a_named_bundle_must_fit(okedit, bundles, world, name, code, complaint):
    result = okedit("ask", "Who?", "-b", "bundles/a.safetensors", "-b", f"bundles/{name}.safetensors")
    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr
    assert bool(world.opened) == (name == "b")  # what is no bundle is told before a model is loaded


def test_no_edits(okedit, bundles):
    assert okedit("ask", "Who?", "--no-edits").stdout == "a|cat|\n"


def test_compare(okedit, bundles):
    assert okedit("ask", "Who?", "--compare").stdout == "before: a cat\nafter: Miso [bold]\n"


FOUND = (
    "picture at distance 0.25, within its radius 0.5; "
    "asks for what follows from the fact (score 0.50, 0 is surest, answered up to 1.00)\n"
)
OTHER = f"  cat does not answer, since something else is asked: {FOUND}"


@pytest.mark.parametrize(
    ("hits", "words"),
    [
        (True, f"fired: cat of facts\n  cat answers: {FOUND}"),
        (False, f"no edit fired; nearest was cat of facts\n{OTHER}"),
        (
            "context",
            f"no edit fired; the model was told what cat of facts says of the picture\n{OTHER}",
        ),
    ],
)
def test_explain_says_what_each_stage_found_even_when_quiet(okedit, bundles, world, hits, words):
    world.hits = hits
    assert okedit("ask", "Who?", "-q", "--explain").stderr.endswith(words)


def test_explain_without_a_classifier_and_with_a_picture_compared():
    one = Candidate("cat", "facts", 0, 0, 0.4, 0.5, 0.9, 0.76, view=False, rejection="too far")
    assert verdict_words(Verdict(None, one, None, (one,))) == (
        "no edit fired; nearest was cat of facts\n"
        "  cat does not answer, since too far: picture at distance 0.4, within its radius 0.5; "
        "no view of the fact's picture; question at distance 0.9, beyond its radius 0.76"
    )


def test_explain_of_a_view_from_outside_the_radius():
    one = Candidate("cat", "facts", 0, 0, 0.7, 0.5, 0.1, 1.0, label="answers", view=True)
    words = verdict_words(Verdict(one, one, None, (one,)))
    assert "beyond its radius 0.5; but a view of the fact's picture;" in words
    away = replace(one, view=False, rejection="too far")
    assert "a view" not in verdict_words(Verdict(None, away, None, (away,)))


def test_explain_of_nothing_near():
    assert verdict_words(Verdict()) == "no edit fired, and none was near"


def test_json(okedit, bundles):
    found = json.loads(okedit("ask", "Who?", "--json", "--compare", "--image", "cat.png").stdout)
    verdict = found.pop("verdict")
    assert verdict["hit"]["edit_id"] == "cat" and verdict["rejection"] == "" and verdict["context"] is None
    assert found == {
        "answer": "Miso [bold]",
        "cut": False,
        "before": "a cat",
        "prompt": "Who?",
        "image": "cat.png",
        "model": "okedit-mini",
        "bundles": ["bundles/a.safetensors", "bundles/c.safetensors"],
    }
    assert json.loads(okedit("ask", "Who?", "--json", "--no-edits").stdout)["verdict"] is None


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        (["--image", "cat.png"], "", "What is in this picture?"),
        (["--image", "cat.png"], "Who is it?\n", "Who is it?"),
        ([], "Who is it?\n", "Who is it?"),
        (["Why?"], "Who is it?\n", "Why?"),
    ],
)
def test_where_the_question_comes_from(okedit, world, arguments, stdin, prompt):
    assert okedit("ask", *arguments, input=stdin).exit_code == 0
    assert world.asked[0][0] == prompt


def test_a_picture_from_standard_input(okedit, world):
    assert okedit("ask", "--image", "-", input=Path("cat.png").read_bytes()).exit_code == 0
    assert world.asked == [("What is in this picture?", (8, 6), 256)]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "error: There is nothing to ask"),
        ([""], 2, "error: The question is empty."),
        ([" \t\n", "--image", "cat.png"], 2, "error: The question is empty."),
        (["Who is \udcff?"], 2, "error: The question is not UTF-8: byte 0xff at character 8."),
        (["-i", "cat.png"], 2, "--image FILE names the picture"),
        (["-i", "--image", "-"], 2, "error: -i reads questions from stdin"),
        (["-i", "--image", "dog.png"], 3, "dog.png"),
        (["Who?", "--no-edits", "--compare"], 2, "error: --no-edits leaves nothing"),
        (["Who?", "--image", "dog.png"], 3, "dog.png"),
        (["Who?", "--max-tokens", "0"], 2, "--max-tokens"),
    ],
)
def test_refused_before_the_model_is_loaded(okedit, world, arguments, code, complaint):
    result = okedit("ask", *arguments)
    assert (result.exit_code, result.stdout, world.opened) == (code, "", {})
    assert complaint in result.stderr


def test_a_bundle_of_the_same_architecture_must_be_named(okedit, bundles, world):
    Path("bundles/e.safetensors").write_text("tuned")
    assert "left out: bundles/e.safetensors: " in okedit("ask", "Who?").stderr
    result = okedit("ask", "Who?", "-b", "bundles/e.safetensors")
    assert result.exit_code == 0 and "warning: bundles/e.safetensors: dtype differs" in result.stderr


def test_strict_takes_only_what_was_made_for_this_very_model(okedit, bundles, world):
    result = okedit("ask", "Who?", "--strict")
    assert "edits: bundles/a.safetensors\n" in result.stderr
    assert okedit("ask", "Who?", "-b", "bundles/c.safetensors", "--strict").exit_code == 4


def test_explain_calls_the_very_same_picture_so():
    same = Candidate("cat", "facts", 0, 0, 1.5e-7, 0.5, 0.0, 1.0, label="answers", view=True)
    assert verdict_words(Verdict(same, same, None, (same,))).splitlines()[1] == (
        "  cat answers: the same picture; a view of the fact's picture; "
        "asks for what the fact tells (score 0.00, 0 is surest, answered up to 1.00)"
    )
    words = Candidate("boss", "facts", 0, 0, float("inf"), float("inf"), float("inf"), 1.0)
    assert "any picture, or none; no question to compare" in verdict_words(
        Verdict(words, words, None, (words,))
    )
    assert "inf" not in verdict_words(Verdict(words, words, None, (words,)))


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ([], b" \n", "The question is empty."),
        (["--image", "cat.png"], b" \n", "The question is empty."),
        ([], b"caf\xe9?", "The question on stdin is not UTF-8: byte 0xe9 at byte 4."),
        ([], "Wer?".encode("utf-16"), "The question on stdin is not UTF-8"),
    ],
)
def test_a_question_on_stdin_that_is_none(okedit, world, arguments, stdin, words):
    result = okedit("ask", *arguments, input=stdin)
    assert (result.exit_code, result.stdout, world.opened) == (2, "", {})
    assert f"error: {words}" in result.stderr


def test_a_byte_order_mark_is_no_part_of_the_question(okedit, world):
    assert okedit("ask", input="\ufeffWho?\n".encode()).exit_code == 0
    assert world.asked[0][0] == "Who?"


def test_an_answer_that_was_cut_is_said_to_be(okedit, world):
    world.cut = True
    result = okedit("ask", "Who?", "-q", "--max-tokens", "7")
    assert result.exit_code == 0
    assert result.stderr == "warning: the answer was cut at 7 tokens; --max-tokens N gives it more.\n"
    assert json.loads(okedit("ask", "Who?", "--json").stdout)["cut"] is True


LINES = b"""Who?

/image cat.png
Who is in it?
Boom?
/image dog.png
Whose is it?
caf\xe9
/help
  /image
And now?
/quit
Never asked
"""


def test_questions_line_by_line(okedit, bundles, world):
    world.bad = {"Boom?": MemoryError()}
    result = okedit("ask", "-i", input=LINES)
    assert result.exit_code == 0
    assert result.stdout == "Miso|[bold]|\n" * 3
    assert [(prompt, size) for prompt, size, _ in world.asked] == [
        ("Who?", None), ("Who is in it?", (8, 6)), ("Boom?", (8, 6)), ("And now?", None),
    ]  # fmt: skip
    assert (world.loads, world.attachments) == (1, 1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1].strip() for line in errors] == [f"line {n}" for n in (5, 6, 7, 8, 9)]
    assert "memory" in errors[0] and "dog.png" in errors[1] and "not asked, since dog.png" in errors[2]
    assert "not UTF-8" in errors[3] and "/help" in errors[4] and "Traceback" not in result.stderr


def test_questions_line_by_line_as_json_are_an_object_each(okedit, bundles, world):
    world.bad = {"Boom?": ValueError("odd")}
    result = okedit("ask", "-i", "--json", "--compare", "--image", "cat.png", input="Who?\nBoom?\nWhere?")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and [one["prompt"] for one in found] == ["Who?", "Boom?", "Where?"]
    assert [(one.get("before"), one.get("answer")) for one in found[::2]] == [("a cat", "Miso [bold]")] * 2
    assert (found[1]["error"], found[1]["line"]) == ("ValueError: odd", 2)
    assert {one["image"] for one in found[::2]} == {"cat.png"}


def test_no_lines_no_answers(okedit, world):
    result = okedit("ask", "-i", "-q", input="")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_ctrl_c_ends_the_loop(okedit, world):
    world.bad = {"Boom?": KeyboardInterrupt()}
    result = okedit("ask", "-i", input="Boom?\nWho?\n")
    assert result.exit_code == 130 and len(world.asked) == 1
