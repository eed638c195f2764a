"""okedit edit: what it hands to fit, what it writes, what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_writes_a_bundle_and_prints_a_table(okedit, world):
    result = okedit("edit", "facts.yaml")
    assert result.exit_code == 0, result.stderr
    assert Path("bundles/facts.safetensors").stat().st_size == 1200
    head, _, *rows = [line.split() for line in result.stdout.splitlines()]
    assert head == "id took reach answered left alone picture radius seconds".split()
    assert rows[0] == ["cat", "yes", "kind", "3/4", "19/20", "0.5", "1.2"]
    assert "bundle: bundles/facts.safetensors, 1.2 kB, site key layer 3, value layer 5" in result.stderr
    assert (
        "try: okedit ask 'Who is it' --image cat.png -b bundles/facts.safetensors --compare" in result.stderr
    )


def test_near_questions_that_are_answered_too_are_named_with_what_to_keep(okedit, world):
    world.reports = {"cat": {"lost": ("Who is it not?",)}}
    result = okedit("edit", "facts.yaml")
    assert (
        "cat: also answers 'Who is it not?'" in result.stderr and 'prompt: "Who is it not?"' in result.stderr
    )
    assert json.loads(okedit("edit", "facts.yaml", "--json", "-o", "x").stdout)["facts"][0]["lost"] == [
        "Who is it not?"
    ]


def test_an_answer_that_other_decodings_lose_is_told_with_what_holds_it(okedit, world):
    world.reports = {"boss": {"fragile": ("3 beams", "sampling at 0.7")}}
    result = okedit("edit", "facts.yaml")
    assert result.exit_code == 0 and [line.split()[:3] for line in result.stdout.splitlines()[2:]] == [
        ["cat", "yes", "kind"], ["boss", "greedy", "only"],
    ]  # fmt: skip
    assert (
        "boss: the answer may come out otherwise with 3 beams or sampling at 0.7; `verbatim: true`"
        in result.stderr
    )
    found = json.loads(okedit("edit", "facts.yaml", "--json").stdout)["facts"]
    assert [one["fragile"] for one in found] == [[], ["3 beams", "sampling at 0.7"]]


def test_reach_goes_to_facts_that_do_not_say_their_own(okedit, world):
    refused = okedit("edit", "facts.yaml", "--reach", "everything")
    assert refused.exit_code == 2 and "expected one of" in refused.stderr
    assert okedit("edit", "facts.yaml", "-o", "x", "--reach", "picture").exit_code == 0


def test_force_replaces_a_file_and_over_reach_keeps_facts_and_neither_does_both(okedit, world):
    Path("notes").write_bytes(b"no bundle")
    assert okedit("edit", "facts.yaml", "-o", "notes", "--over-reach").exit_code == 2
    assert okedit("edit", "facts.yaml", "-o", "notes", "--force").exit_code == 0
    assert not world.fitted["force"] and Path("notes").read_bytes() != b"no bundle"
    assert okedit("edit", "facts.yaml", "-o", "new", "--over-reach").exit_code == 0 and world.fitted["force"]
    for command in ("edit", "eval"):
        told = " ".join(okedit(command, "--help").stdout.replace("│", " ").split())
        assert "Replace a file that is there" in told and "Keep facts that no radius separates" in told


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--text-encoder", "owner/words"], 1, "The text encoder 'owner/words' cannot be loaded"),
        (["--image-encoder", "owner/looks"], 1, "The image encoder 'owner/looks' cannot be loaded"),
        (["--text-encoder", "/folder"], 2, "a bundle travels"),
        (["--method", "wishes"], 2, "There is no method 'wishes'"),
    ],
)
def test_what_a_model_is_not_needed_for_is_told_before_it_is_loaded(okedit, world, words, code, told):
    result = okedit("edit", "facts.yaml", *words)
    assert (result.exit_code, result.stdout, world.opened) == (code, "", {}) and told in result.stderr


def test_strictness_goes_into_the_bundle(okedit, world):
    okedit("edit", "facts.yaml", "-o", "a", "--strictness", "0.8")
    assert world.fitted["strictness"] == 0.8
    assert okedit("edit", "facts.yaml", "-o", "a", "--strictness", "-1").exit_code == 2


def test_flag_then_environment_then_fact_file_then_built_in(okedit, world):
    okedit(
        "edit",
        "facts.yaml",
        "--dtype",
        "float32",
        "-o",
        "a",
        env={"OKEDIT_DTYPE": "float16", "OKEDIT_SEED": "4"},
    )
    assert world.opened == {
        "name": "okedit-mini",
        "device": "auto",
        "dtype": "float32",
        "revision": None,
        "trust_remote_code": False,
        "low_memory": False,
    }
    assert world.fitted == {
        "facts": ["cat", "boss"], "method": "balancedit", "layer": 7, "seed": 4, "force": False,
        "strictness": None, "context": "auto", "text_encoder": "", "image_encoder": "", "settings": (),
    }  # fmt: skip
    okedit(
        "edit",
        "facts.yaml",
        "-o",
        "b",
        "--layer",
        "auto",
        env={"OKEDIT_DTYPE": "float16", "OKEDIT_MODEL": "m"},
    )
    assert (world.opened["name"], world.opened["dtype"], world.fitted["layer"]) == ("m", "float16", "auto")
    okedit("edit", "facts.yaml", "-o", "c")
    assert world.opened["dtype"] == "bfloat16"


def test_json_is_one_object_with_the_same(okedit, world):
    world.reports = {
        "boss": {"took": False, "radius": float("inf"), "d_neg": float("nan"), "why": "too near"}
    }
    result = okedit("edit", "facts.yaml", "--json", "--quiet")
    found = json.loads(result.stdout)
    assert (found["bundle"], found["layer"], found["seed"]) == ("bundles/facts.safetensors", 7, 0)
    assert found["facts"][0]["positives"] == [3, 4]
    assert (found["facts"][1]["radius"], found["facts"][1]["d_neg"]) == (None, None)
    assert result.exit_code == 5
    assert result.stderr.startswith(
        "boss: too near\nerror: 1 of 2 facts did not take or were kept out: boss.\nhint: "
    )


def test_a_bundle_is_written_although_a_fact_was_kept_out(okedit, world):
    world.reports = {"cat": {"kept_out": True, "radius": None}}
    result = okedit("edit", "facts.yaml")
    assert result.exit_code == 5 and Path("bundles/facts.safetensors").exists()
    assert ["cat", "kept", "out"] == result.stdout.splitlines()[2].split()[:3]
    assert "try: okedit ask 'Who leads' -b" in result.stderr


def test_no_bundle_when_no_fact_is_left(okedit, world):
    world.reports = {"cat": {"kept_out": True}, "boss": {"kept_out": True}}
    result = okedit("edit", "facts.yaml", "-o", "out.safetensors")
    assert result.exit_code == 5 and not Path("out.safetensors").exists()
    assert "no bundle was written" in result.stderr


def test_facts_from_standard_input(okedit, world):
    assert okedit("edit", "-", input=Path("facts.yaml").read_text()).exit_code == 0
    assert Path("bundles/facts.safetensors").exists()


def test_an_earlier_bundle_is_replaced_and_another_file_is_not(okedit, world):
    Path("old.safetensors").write_bytes(b"fits")
    assert okedit("edit", "facts.yaml", "-o", "old.safetensors").exit_code == 0
    Path("notes.txt").write_bytes(b"no bundle")
    result = okedit("edit", "facts.yaml", "-o", "notes.txt")
    assert result.exit_code == 2 and Path("notes.txt").read_bytes() == b"no bundle"
    assert "error: notes.txt is there already and no bundle" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["none.yaml"], 3, "error: none.yaml is not there"),
        (["facts.yaml", "--layer", "deep"], 2, "error: --layer deep is no layer"),
        (["facts.yaml", "--layer", "-1"], 2, "error: --layer -1 is no layer"),
        (["facts.yaml", "-o", "."], 2, "error: . is a folder"),
        (["facts.yaml", "--seed", "-1"], 2, "--seed"),
        (["facts.yaml", "--sed", "1"], 2, "--seed"),
        ([], 2, "Missing argument"),
    ],
)
def test_refused_before_the_model_is_loaded(okedit, world, arguments, code, complaint):
    result = okedit("edit", *arguments)
    assert (result.exit_code, result.stdout, world.opened) == (code, "", {})
    assert complaint in result.stderr


def test_a_broken_picture_is_told_with_the_line_of_its_fact(okedit, world):
    Path("cat.png").write_bytes(Path("cat.png").read_bytes()[:40])
    result = okedit("edit", "facts.yaml")
    assert result.exit_code == 3 and not world.opened
    assert result.stderr.startswith("error: facts.yaml:4:22: ") and "cat.png" in result.stderr
