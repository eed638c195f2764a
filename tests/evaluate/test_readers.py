"""Data sets in, cases out: each format from a small file in its authors' fields."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from evaluate.reader_rows import (
    CKNOWEDIT,
    COMPREHEND,
    FLAT,
    KNOWEDIT,
    MMEDIT,
    MMKE,
    MQUAKE,
    OKEDIT,
    ONE_HOP,
    ORIGINAL,
    RIPPLE,
    TWO_HOP,
    VLKEB,
    WIKIBIO,
    ZSRE,
    asked,
    one,
    written,
)

from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate.case import METRICS
from okedit_cli.evaluate.readers import load_cases, present


def test_mmedit(tmp_path):
    data, case = one(tmp_path, MMEDIT, images="pics")
    root = Path("pics")
    assert data.format == "mmedit" and case.row == 1 and case.before == "no"
    assert asked(case, "rel") == [("How many balls?", root / "val2014/a.jpg", ("2",), "")]
    assert asked(case, "t_gen") == [("What number of balls?", root / "val2014/a.jpg", ("2",), "")]
    assert asked(case, "i_gen") == [("How many balls?", root / "other/a.png", ("2",), "")]
    assert asked(case, "t_loc") == [("who won", None, ("Spain",), "")]
    assert asked(case, "i_loc") == [("What sport?", root / "val2014/b.jpg", ("motocross",), "")]


@pytest.mark.parametrize(
    ("port", "cell", "answer"), [(ONE_HOP, "1-hop", "Central"), (TWO_HOP, "2-hop", "Ada")]
)
def test_vlkeb_by_hop(tmp_path, port, cell, answer):
    data, case = one(tmp_path, {**VLKEB, "port_new": [port]})
    assert data.format == "vlkeb" and case.before == "Laredo, Texas"
    [(_, picture, answers, found)] = asked(case, "port")
    assert (picture, answers, found) == (tmp_path / "m.0x/a.jpg", (answer,), cell)
    assert [p.answers for p in case.supporting] == ([("Central",)] if port is ONE_HOP else [])


def test_vlkeb_without_hops_is_told_from_mmedit_by_its_pictures(tmp_path):
    assert one(tmp_path, VLKEB)[0].format == "vlkeb"


def test_zsre(tmp_path):
    data, case = one(tmp_path, ZSRE)
    assert data.format == "zsre" and (case.target, case.before, case.subject) == (
        "aircraft",
        "uniform",
        "UniFirst",
    )
    assert asked(case, "t_loc") == [("who", None, ("Walter",), "")] and case.all_pictures() == ()


def test_counterfact_in_both_forms(tmp_path):
    data, case = one(tmp_path, FLAT)
    assert (data.format, case.id, case.target) == ("counterfact", "counterfact-3", "chess")
    assert asked(case, "t_loc") == [("Bob plays", None, ("go",), "")]
    data, case = one(tmp_path, ORIGINAL)
    assert (data.format, case.prompt, case.before) == ("counterfact-original", "Ada plays", "go")
    assert len(asked(case, "t_gen")) == 2 and [p for p, *_ in asked(case, "t_loc")] == [
        "Bob plays",
        "Eve plays",
    ]


@pytest.mark.parametrize(
    ("asked_in", "kind"),
    [
        ("It rained. Ada plays", "paraphrase"), ("References\n\nAda plays the game", "paraphrase"),
        ("Ada's favourite piece is", "generation"), ("People around Ada talk of", "generation"),
        ("She plays", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_flat_counterfact_tells_its_paraphrases_from_what_follows(tmp_path, asked_in, kind):
    assert one(tmp_path, {**FLAT, "rephrase_prompt": asked_in})[1].kind == kind


def test_knowedit_flattens_answers_and_lists_of_prompts(tmp_path):
    data, case = one(tmp_path, KNOWEDIT)
    assert data.format == "knowedit" and case.before == "Paris"
    assert asked(case, "port") == [
        ("The mayor there is", None, ("Kai", "Kai Peter"), "reasoning"),
        ("Martin Leo died in", None, ("Berlin",), "subject aliasing"),
    ]
    assert asked(case, "specificity") == [("Leo's father is", None, ("Al",), "relation specificity")]
    assert asked(case, "t_loc") == [("Not Berlin but", None, ("Paris",), "forgetfulness")]
    data, case = one(tmp_path, WIKIBIO)
    assert (data.format, case.prompt, case.target, case.subject) == ("knowedit", "Ada was", "a poet.", "ada")


def test_okedit_keeps_what_may_be_fitted_apart(tmp_path):
    data, case = one(tmp_path, OKEDIT)
    assert data.format == "okedit" and case.kind == "drawing" and case.before == "eagle"
    assert len(asked(case, "t_gen")) == len(asked(case, "i_gen")) == 10
    assert asked(case, "i_loc") == [("Which bird?", tmp_path / "l.png", ("cat",), "")]
    assert asked(case, "specificity") == [("What colour?", tmp_path / "a.png", ("brown",), "")]
    assert asked(case, "port") == [("When is it awake?", tmp_path / "a.png", ("at night",), "1-hop")]
    fact = case.fact()
    assert fact.rephrases == ("Train bird?",) and fact.images == (tmp_path / "t.png",)


def test_okedit_tells_what_its_other_pictures_are(tmp_path):
    kinds = ["view"] * 4 + ["artist"] * 6
    _, case = one(tmp_path, {**OKEDIT, "image_rephrase_kind": kinds})
    assert [cell for *_, cell in asked(case, "i_gen")] == kinds and case.truth == ("eagle",)
    assert [cell for *_, cell in asked(one(tmp_path, OKEDIT)[1], "i_gen")] == [""] * 10
    with pytest.raises(InvalidFacts, match="row 1: image_rephrase_kind has 2 entries for 10 pictures"):
        one(tmp_path, {**OKEDIT, "image_rephrase_kind": ["view", "artist"]})


def test_okedit_tells_which_of_its_other_pictures_are_near(tmp_path):
    row = {**OKEDIT, "locality_image": ["l.png", "m.png"], "locality_answer": []}
    _, case = one(tmp_path, {**row, "locality_image_kind": ["near", "unrelated"]})
    assert [cell for *_, cell in asked(case, "i_loc")] == ["near", "unrelated"]
    with pytest.raises(InvalidFacts, match="row 1: locality_image_kind has 1 entries for 2 pictures"):
        one(tmp_path, {**row, "locality_image_kind": ["near"]})


def test_okedit_carries_reach_and_further_pictures_into_the_fact(tmp_path):
    for reach in ("kind", "picture"):
        _, case = one(tmp_path, {**OKEDIT, "reach": reach, "images": ["b.png", "c.png"]})
        assert case.reach == case.fact().reach == reach
        assert case.fact().images == (tmp_path / "b.png", tmp_path / "c.png", tmp_path / "t.png")
        assert set(case.fact().images) <= set(case.all_pictures())
    _, case = one(tmp_path, OKEDIT)
    assert (case.reach, case.fact().reach) == ("", "auto")
    with pytest.raises(InvalidFacts, match="row 1: reach is 'thing', expected kind or picture"):
        one(tmp_path, {**OKEDIT, "reach": "thing"})


@pytest.mark.parametrize(
    ("right", "found"),
    [
        (["cat", "dog"], [("cat",), ("dog",)]), ("cat", [("cat",)] * 2), ([], [(), ()]),
        (["cat", "dog", "cow"], [("cat", "dog", "cow")] * 2),
    ],
)  # fmt: skip
def test_okedit_has_an_answer_for_each_of_its_other_pictures(tmp_path, right, found):
    """Or one for all, or none at all."""
    row = {**OKEDIT, "locality_image": ["l.png", "m.png"], "locality_answer": right}
    _, case = one(tmp_path, row)
    told = asked(case, "i_loc")
    assert [picture for _, picture, *_ in told] == [tmp_path / "l.png", tmp_path / "m.png"]
    assert [answers for *_, answers, _ in told] == found


def test_okedit_in_the_authors_two_files(tmp_path):
    row = {
        "question_id": 7,
        "image_id": 42,
        "counterfact_answer": "owl",
        "locality_answer": "cat",
        "answers": [],
    }
    (tmp_path / "generality/7").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"generality/7/{number}.png").touch()
    with pytest.raises(InvalidFacts, match="without questions"):
        load_cases(written(tmp_path, {"annotations": [row]}))
    written(tmp_path, {"questions": [{"question_id": 7, "question": "Bird?", "rephrased_questions": ["B?"]}]},
            "OpenEnded_questions.json")  # fmt: skip
    [case] = load_cases(tmp_path / "data.json").cases
    assert case.picture == tmp_path / "val2014/COCO_val2014_000000000042.jpg" and case.prompt == "Bird?"
    assert len(case.pictures) == 3 and case.picture_locality[0].picture == tmp_path / "locality/7/0.png"


def test_fact_files_are_fitted_to_all_but_holdout_and_related(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    path = tmp_path / "facts.yaml"
    path.write_text(
        "version: 1\nfacts:\n  - id: cat\n    image: a.png\n    prompt: Who?\n    answer: Miso\n"
        "    rephrases: [Name?]\n    images: [b.png]\n    keep: [{prompt: What?}]\n"
        "    related: [{prompt: Letter?, answer: M}]\n"
        "    holdout: [{prompt: Whom?}, {image: c.png, prompt: Who?}, {image: c.png, prompt: Whom?}]\n"
    )
    [case] = load_cases(path).cases
    fact = case.fact()
    assert (fact.rephrases, fact.images) == (("Name?",), (tmp_path / "b.png",)) and len(fact.keep) == 1
    assert fact.holdout == fact.related == ()
    assert [cell for *_, cell in asked(case, "holdout")] == ["text", "picture", "both"]
    assert [cell for *_, cell in asked(case, "seen")] == ["text", "picture"]
    assert asked(case, "port") == [("Letter?", tmp_path / "a.png", ("M",), "related")]
    assert case.row == 3


@pytest.mark.parametrize(
    "row",
    [
        MMEDIT, {**VLKEB, "port_new": [ONE_HOP]}, ZSRE, FLAT, ORIGINAL, KNOWEDIT, OKEDIT, MQUAKE, RIPPLE,
        CKNOWEDIT, COMPREHEND, MMKE,
    ],
)  # fmt: skip
def test_what_is_evaluated_is_never_fitted(tmp_path, row):
    _, case = one(tmp_path, row)
    fact, train = case.fact(), case.train
    fitted = {(text, fact.image) for text in fact.rephrases} | {(fact.prompt, image) for image in fact.images}
    held_out = {(p.prompt, p.picture) for _, m, p in case.probes() if m not in ("rel", "seen", "kept")}
    assert not fitted & held_out and not fact.related and not fact.holdout
    assert fact.rephrases == train.rephrasings and len(fact.keep) == len(train.keep)


def test_problems_name_file_and_row_together(tmp_path):
    bad = [MMEDIT, {**MMEDIT, "src": 5.5, "image": None}, {**MMEDIT, "rephrase": {}}, "text"]
    path = written(tmp_path, bad)
    with pytest.raises(InvalidFacts) as caught:
        load_cases(path)
    lines = caught.value.message.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [[str(path), f"row {n}"] for n in (2, 3, 4)]
    assert "image is missing" in lines[0] and "rephrase is an object" in lines[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "line 1 is not JSON"), ("[]", "has no rows"), ("5", "is a number"),
        ('[{"x": 1}]', "its first row has the fields x"), ("[3]", "its first row is no object"),
        ("[" * 100_000, "JSON|nested"),
    ],
)  # fmt: skip
def test_files_that_are_no_data_set(tmp_path, text, message):
    with pytest.raises(InvalidFacts, match=message):
        load_cases(written(tmp_path, text))


def test_a_missing_file_a_folder_and_an_unknown_format(tmp_path):
    with pytest.raises(InvalidFacts, match="is not there"):
        load_cases(tmp_path / "no.json")
    with pytest.raises(InvalidFacts, match="is a folder"):
        load_cases(tmp_path)
    with pytest.raises(UsageError, match="no format 'csv'"):
        load_cases(written(tmp_path, [ZSRE]), format="csv")


def test_json_lines_and_a_named_format(tmp_path):
    path = written(tmp_path, "\n".join(json.dumps(row) for row in (ZSRE, {**ZSRE, "alt": "x"})))
    assert len(load_cases(path).cases) == 2
    with pytest.raises(InvalidFacts, match="row 1: prompt is missing"):
        load_cases(path, format="counterfact")


def test_rows_without_a_target_are_left_out_and_told(tmp_path):
    data = load_cases(written(tmp_path, [ZSRE, {**ZSRE, "alt": " "}]))
    assert len(data.cases) == 1 and data.left_out == ((2, "alt is empty"),)


def test_missing_pictures_are_named_counted_and_can_be_skipped(tmp_path):
    for name in ("val2014/a.jpg", "val2014/b.jpg", "other/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = load_cases(written(tmp_path, [MMEDIT, {**MMEDIT, "image_rephrase": "gone.png"}, MMEDIT]))
    with pytest.raises(InvalidFacts) as caught:
        present(data)
    first, second = caught.value.message.splitlines()
    assert first.startswith("1 of 3 cases") and "row 2: picture not found" in second and "gone.png" in second
    kept = present(data, skip_missing=True)
    assert [case.row for case in kept.cases] == [1, 3] and kept.left_out[0][0] == 2
    with pytest.raises(InvalidFacts, match="3 of 3"):
        present(load_cases(tmp_path / "data.json", images=tmp_path / "nowhere"), skip_missing=True)


def test_ids_come_from_content_not_from_the_order(tmp_path):
    rows = [{**MMEDIT, "alt": str(n)} for n in range(5)]
    there = {c.target: c.id for c in load_cases(written(tmp_path, rows)).cases}
    back = {c.target: c.id for c in load_cases(written(tmp_path, rows[::-1])).cases}
    assert there == back and len(set(there.values())) == 5
    twice = load_cases(written(tmp_path, [MMEDIT, MMEDIT])).cases
    assert twice[1].id == f"{twice[0].id}-2"


def test_every_probe_has_a_metric_and_a_key_of_its_own(tmp_path):
    _, case = one(tmp_path, OKEDIT)
    keys = [key for key, _, _ in case.probes()]
    assert len(set(keys)) == len(keys) and {metric for _, metric, _ in case.probes()} <= METRICS.keys()


DATA = os.environ.get("OKEDIT_BENCHMARKS")


@pytest.mark.skipif(not DATA, reason="OKEDIT_BENCHMARKS names no folder with the benchmark files")
@pytest.mark.parametrize(
    ("name", "format", "count", "left_out"),
    [
        ("counterfact-1k", "counterfact", 1000, 0), ("zsre-1k", "zsre", 998, 2),
        ("vlkeb-eval", "vlkeb", 3174, 0),
        ("vlkeb-eval-onehop", "vlkeb", 1278, 0), ("mmedit-vqa-eval", "mmedit", 2093, 0),
    ],
)  # fmt: skip
def test_real_files_read_whole(name, format, count, left_out):
    data = load_cases(Path(DATA) / f"{name}.json")
    assert (data.format, len(data.cases), len(data.left_out)) == (format, count, left_out)
    assert len({case.id for case in data.cases}) == count
    for case in data.cases:
        metrics = {metric for _, metric, _ in case.probes()}
        assert {"rel", "t_gen", "t_loc"} <= metrics and (
            case.picture is None or {"i_gen", "i_loc"} <= metrics
        )
        assert name != "vlkeb-eval-onehop" or {"port"} <= metrics and case.supporting
