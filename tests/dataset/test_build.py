"""From archives to a data set that the evaluation reads."""

from __future__ import annotations

import json
import shutil

import pytest
from dataset.fake_packages import FLAGS

from okedit_cli.dataset import packages
from okedit_cli.dataset.build import build
from okedit_cli.dataset.things import fold
from okedit_cli.errors import SetupError, UsageError
from okedit_cli.evaluate import load_cases, present
from okedit_cli.facts import load_facts

SPLITS = ("fit", "test")
KINDS = {"drawing", "flag", "stamp", "photograph"}


def rows(folder, split):
    return json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))


def names_of(row):
    return {fold(answer["answer"]) for answer in row["answers"]}


@pytest.mark.parametrize("split", SPLITS)
def test_it_reads_whole_and_counts_are_those_of_the_files(built, split):
    folder, made = built
    data = present(load_cases(folder / f"{split}.json"))
    assert data.format == "okedit" and not data.left_out
    assert len(data.cases) == made.cases[split].total() > 20
    assert {case.kind for case in data.cases} == KINDS
    for case in data.cases:
        assert case.before and case.before != case.target and case.subject
        assert len(case.rephrasings) == 10 and len(case.pictures) >= 4
        assert case.portability and case.text_locality and len(case.specificity) == 3


@pytest.mark.parametrize("split", SPLITS)
def test_the_fact_file_holds_the_same_edits(built, split):
    folder, _ = built
    facts = load_facts(folder / f"{split}.yaml").facts
    of_row = {row["question_id"]: row for row in rows(folder, split)}
    assert [fact.id for fact in facts] == list(of_row)
    for fact in facts:
        row = of_row[fact.id]
        assert (fact.prompt, fact.answer) == (row["question"], row["counterfact_answer"])
        assert len(fact.holdout) == 10 + len(row["image_rephrase"])
        assert len(fact.related) == len(row["portability"]) and not fact.rephrases and not fact.images


@pytest.mark.parametrize("split", SPLITS)
def test_rephrasings_are_ten_and_distinct_and_new_answers_never_true(built, split):
    for row in rows(built[0], split):
        texts = {text.casefold() for text in row["rephrased_questions"]}
        assert len(texts) == 10 and row["question"].casefold() not in texts
        assert not any(sign in text for text in texts for sign in "{}")
        assert fold(row["counterfact_answer"]) not in names_of(row)
        assert row["counterfact_type"] in ("same kind", "other kind")
        assert not {fold(name) for name in row["locality_answer"]} & {
            *names_of(row),
            fold(row["counterfact_answer"]),
        }


def test_kinds_of_other_pictures_are_told(built):
    for split in SPLITS:
        for row in rows(built[0], split):
            assert len(row["image_rephrase_kind"]) == len(row["image_rephrase"])
            assert row["image_rephrase_kind"].count("view") == 4
            artists = row["image_rephrase_kind"].count("artist")
            assert artists == {"drawing": 3, "flag": 2}.get(row["kind"], 0)
            assert row["image_rephrase_kind"].count("photograph") == 4 * (row["kind"] == "photograph")


def test_splits_share_no_thing_wording_or_picture(built):
    folder, _ = built
    fit, test = (rows(folder, split) for split in SPLITS)

    def named(some):
        drawn = [row for row in some if row["kind"] != "photograph"]
        near = {fold(name) for row in drawn for name in row["locality_answer"]}
        photographed = {row["image_object"] for row in some if row["kind"] == "photograph"}
        return {name for row in drawn for name in names_of(row)} | near | photographed

    assert not named(fit) & named(test)
    worded = [{text for row in some for text in row["rephrased_questions"]} for some in (fit, test)]
    assert not worded[0] & worded[1]
    asked = [{q["question"] for row in some for q in row["same_image"]} for some in (fit, test)]
    assert not asked[0] & asked[1]
    assert not {row["loc"] for row in fit} & {row["loc"] for row in test}
    shown = [
        {name for row in some for name in (row["image"], *row["image_rephrase"], *row["locality_image"])}
        for some in (fit, test)
    ]
    content = [{(folder / name).read_bytes() for name in some} for some in shown]
    assert not content[0] & content[1]


def test_near_things_are_never_edited(built):
    folder, _ = built
    for split in SPLITS:
        edited = {(folder / row["image"]).read_bytes() for row in rows(folder, split)}
        near = {(folder / name).read_bytes() for row in rows(folder, split) for name in row["locality_image"]}
        assert near and not edited & near


def test_a_photograph_is_about_its_class(built):
    """One case of each class in one split, other photographs used once, near ones of classes not edited."""
    folder, _ = built
    photographs = {s: [r for r in rows(folder, s) if r["kind"] == "photograph"] for s in SPLITS}
    classes = [row["image_object"] for some in photographs.values() for row in some]
    assert len(classes) == len(set(classes)) == 10
    assert {split: len(some) for split, some in photographs.items()} == {"fit": 4, "test": 6}
    used = []
    for split, some in photographs.items():
        edited = {name for row in rows(folder, split) for name in names_of(row)}
        for row in some:
            assert len(row["locality_answer"]) == len(set(row["locality_answer"])) == 3
            assert not {fold(name) for name in row["locality_answer"]} & edited
            pairs = zip(row["image_rephrase"], row["image_rephrase_kind"], strict=True)
            used += [row["image"], *(name for name, kind in pairs if kind == "photograph")]
        used += {name for row in some for name in row["locality_image"]}
    content = [(folder / name).read_bytes() for name in used]
    assert len(content) == len(set(content))


def test_a_name_has_one_new_answer(built):
    for split in SPLITS:
        given = {}
        for row in rows(built[0], split):
            given.setdefault(row["image_object"], set()).add(row["counterfact_answer"])
        assert all(len(answers) == 1 for answers in given.values())


def test_what_follows_from_a_country_is_true_of_the_new_one(built):
    seen = 0
    for split in SPLITS:
        for row in rows(built[0], split):
            country = row["counterfact_answer"]
            if row["kind"] == "flag" and country in FLAGS.values():
                for item in row["portability"]:
                    right = {f"{country} City", f"{country} crown", "crown", f"{country}ish", "Europe"}
                    assert set(item["answer"]) <= right
                    assert country not in item["question"]
                    seen += 1
    assert seen >= 10


def test_flags_that_look_alike_and_flags_of_no_land_are_left_out(built):
    folder, _ = built
    flags = {row["image_object"] for split in SPLITS for row in rows(folder, split) if row["kind"] == "flag"}
    assert not flags & {"Svalbard and Jan Mayen", "European Union"} and len(flags) >= 10
    assert "Svalbard and Jan Mayen (like Norway)" in (folder / "README.md").read_text(encoding="utf-8")


def test_symbols_of_the_stamps_are_left_out(built):
    named = {name for split in SPLITS for row in rows(built[0], split) for name in names_of(row)}
    assert "lark" in named | {
        name for split in SPLITS for row in rows(built[0], split) for name in row["locality_answer"]
    }
    assert "plus" not in named


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_the_same_bytes_twice(built, archives, tmp_path):
    build(tmp_path / "again", packages=archives)
    assert contents(tmp_path / "again") == contents(built[0])


def test_every_picture_is_used_and_only_those_are_there(built):
    folder, made = built
    used = set()
    for split in SPLITS:
        for row in rows(folder, split):
            used |= {row["image"], *row["image_rephrase"], *row["locality_image"]}
    there = {path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*") if path.is_file()}
    assert used == there and made.pictures == len(there)


def test_a_kind_without_its_package_is_told_and_left_out(built, archives, tmp_path):
    some = tmp_path / "some"
    shutil.copytree(archives, some)
    (some / "tuxpaint-stamps-default_1_all.deb").unlink()
    (some / "openmoji-1.0.0.tgz").write_bytes(b"no archive")
    told = []
    made = build(tmp_path / "set", packages=some, seed=1, warn=told.append)
    assert made.cases["test"]["stamp"] == 0 and made.cases["test"]["drawing"] > 0
    assert sorted(made.missing) == ["openmoji", "tuxpaint-stamps-default"]
    # another seed is another choice of things
    now = {row["image_object"] for row in rows(tmp_path / "set", "fit") if row["kind"] == "drawing"}
    assert now and now != {row["image_object"] for row in rows(built[0], "fit") if row["kind"] == "drawing"}
    assert len(told) == 2 and any("without stamps" in text for text in told)
    with pytest.raises(SetupError, match=r"openmoji-1\.0\.0\.tgz is not an archive"):
        build(tmp_path / "strict", packages=some, strict=True)
    assert not (tmp_path / "strict").exists()


def test_no_package_at_all_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(SetupError, match="None of the packages"):
        build(tmp_path / "set", packages=tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["none"]


def test_a_folder_that_is_not_empty_stays_unless_forced(archives, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="is not empty"):
        build(folder, packages=archives)
    assert (folder / "mine.txt").read_text() == "keep"
    build(folder, packages=archives, force=True)
    assert not (folder / "mine.txt").exists() and (folder / "test.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_without_npm_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="there is no npm on this machine") as error:
        packages.archive(packages.PACKAGES["openmoji"])
    assert "--packages" in error.value.hint


def test_a_fetched_package_is_kept_and_a_failing_manager_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path / "home"))
    tools = tmp_path / "bin"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text('#!/bin/sh\n[ "$2" = openmoji@17.0.0 ] && echo here > openmoji-17.0.0.tgz && exit 0\n'
                   'echo "npm error code E404" >&2; exit 1\n')  # fmt: skip
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    had = packages.archive(packages.PACKAGES["openmoji"])
    assert had.path == tmp_path / "home/packages/openmoji-17.0.0.tgz" and had.path.read_text() == "here\n"
    npm.unlink()  # the second time it comes from the cache
    assert packages.archive(packages.PACKAGES["openmoji"]).path == had.path
    npm.write_text('#!/bin/sh\necho "npm error code E404" >&2; exit 1\n')
    npm.chmod(0o755)
    with pytest.raises(SetupError, match="emojibase-data cannot be fetched.*ended with 1.*E404"):
        packages.archive(packages.PACKAGES["emojibase-data"])
    assert [path.name for path in had.path.parent.iterdir()] == ["openmoji-17.0.0.tgz"]
