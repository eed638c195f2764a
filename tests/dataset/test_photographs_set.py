"""okedit-photographs, built from a small folder of photographs drawn by chance."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from okedit_cli.cli import app
from okedit_cli.dataset.photoset.build import build_from
from okedit_cli.dataset.photoset.cases import words
from okedit_cli.dataset.photoset.source import read_folder
from okedit_cli.dataset.photoset.views import VIEWS, photograph, views
from okedit_cli.dataset.things import fold
from okedit_cli.errors import InvalidFacts, UsageError
from okedit_cli.evaluate import load_cases, present
from okedit_cli.facts import load_facts

THINGS = {
    "fruit": {"kiwi": ["kiwi"], "lemon": ["lemon"], "lime": ["lime"], "pear": ["conference", "kaiser"]},
    "packages": {"juice": ["tropicana apple juice", "god morgon orange juice"], "milk": ["arla milk"]},
    "toys": {"ball": ["blue ball"], "kite": ["kite"], "doll": ["doll"]},
}
EACH = 12
SPLITS = ("calibrate", "report")


def drawn(seed, size=(120, 96)):
    """A picture of coloured blocks, another one for each seed."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        colour = tuple(rng.randrange(256) for _ in range(3))
        pen.rectangle((x, y, x + rng.randrange(9, 40), y + rng.randrange(9, 40)), fill=colour)
    return image


def folder_of(path, things=THINGS, each=EACH):
    """A folder with so many photographs of each thing, an index and a notice."""
    path.mkdir(parents=True)
    index = []
    for group, kinds in things.items():
        for kind, names in kinds.items():
            for name in names:
                for number in range(each):
                    file = f"{name.replace(' ', '-')}-{number:02}.jpg"
                    drawn(file).save(path / file, quality=90)
                    index.append({"file": file, "thing": name, "kind": kind, "group": group})
    (path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (path / "README.md").write_text("MIT License, copyright (c) 2026 Nobody\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("photographs") / "folder")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "set"
    build_from(source, path)
    return path


def rows(folder, name):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def of_kind(folder, name, kind):
    return [row for row in rows(folder, name) if row["kind"] == kind]


def photographs(names):
    return {name for name in names if name.startswith("images/photographs/")}


def test_things_are_split_by_turns_in_their_order(source, folder):
    order = [item.thing for item in read_folder(source).items]
    assert order == [
        "kiwi", "lemon", "lime", "conference", "kaiser",
        "god morgon orange juice", "tropicana apple juice", "arla milk", "blue ball", "doll", "kite",
    ]  # fmt: skip
    names = {"conference": "conference pear", "kaiser": "kaiser pear", "arla milk": "Arla milk"}
    names |= {"god morgon orange juice": "God Morgon orange juice"}
    names |= {"tropicana apple juice": "Tropicana apple juice"}
    for place, split in enumerate(SPLITS):
        named = [row["image_object"] for row in of_kind(folder, split, "thing")]
        assert named == [names.get(thing, thing) for thing in order[place::2]]
        assert named == [row["image_object"] for row in of_kind(folder, split, "item")]


@pytest.mark.parametrize("split", SPLITS)
def test_it_reads_whole_and_carries_reach_and_images(folder, split):
    for name, given in ((split, 0), (f"{split}-3", 2)):
        data = present(load_cases(folder / f"{name}.json"))
        assert data.format == "okedit" and not data.left_out
        assert Counter((case.kind, case.reach) for case in data.cases) == {
            ("thing", "kind"): len(data.cases) // 2,
            ("item", "picture"): len(data.cases) // 2,
        }
        facts = load_facts(folder / f"{name}.yaml").facts
        assert [fact.id for fact in facts] == [row["question_id"] for row in rows(folder, name)]
        for case, fact in zip(data.cases, facts, strict=True):
            assert case.fact().reach == fact.reach == case.reach
            assert len(case.fact().images) == len(fact.images) == (given if case.kind == "thing" else 0)
            assert case.fact().images == fact.images and case.fact().image == fact.image
            assert len(case.rephrasings) >= 5 and fold(case.prompt) not in map(fold, case.rephrasings)
            assert len(case.specificity) == 3 and case.text_locality


@pytest.mark.parametrize("split", SPLITS)
def test_other_pictures_of_a_thing_are_photographs_of_it_and_views(source, folder, split):
    shown = {row["file"]: row["thing"] for row in json.loads((source / "index.json").read_text())}
    for thing, item in zip(of_kind(folder, split, "thing"), of_kind(folder, split, "item"), strict=True):
        assert thing["image_rephrase_kind"] == ["photograph"] * 4 + list(VIEWS)
        assert item["image_rephrase_kind"] == list(VIEWS) and item["locality_answer"] == []
        assert item["locality_image_kind"] == ["same thing"] * 4
        ours = [thing["image"], *thing["image_rephrase"][:4], item["image"], *item["locality_image"]]
        assert len(set(ours)) == len(ours) == 10
        assert len({shown[name.rsplit("/", 1)[1]] for name in ours}) == 1
    for three in of_kind(folder, f"{split}-3", "thing"):
        [one] = [row for row in of_kind(folder, split, "thing") if row["question_id"] == three["question_id"]]
        assert {**one, "images": three["images"]} == three and len(set(three["images"])) == 2
        assert not {*three["images"]} & {three["image"], *three["image_rephrase"]}


def test_near_and_unrelated_pictures_show_things_that_the_split_does_not_edit(folder):
    used = {}
    for split in SPLITS:
        both = rows(folder, split)
        own = {row["image_object"] for row in both}
        edited = {name for row in both for name in (row["image"], *row["image_rephrase"])}
        for row in of_kind(folder, split, "thing"):
            assert not {*row["locality_answer"]} & {*own, row["counterfact_answer"]}
            kinds = Counter(row["locality_image_kind"])
            assert kinds["unrelated"] == 2 and kinds["near"] >= 1
            assert not {*row["locality_image"]} & edited
        used[split] = photographs(edited | {row["image"] for row in both})
        for row in of_kind(folder, f"{split}-3", "thing"):
            used[split] |= {*row["images"]}
    for split, other in (SPLITS, SPLITS[::-1]):
        near = {name for row in of_kind(folder, split, "thing") for name in row["locality_image"]}
        assert near and not near & used[other]  # never edited, given or asked for in the other split either
    [pear] = [r for r in of_kind(folder, "report", "thing") if r["image_object"] == "conference pear"]
    assert pear["locality_answer"][0] == "kaiser pear"


def test_new_answers_are_other_things_of_the_split_and_never_right(folder):
    for split in SPLITS:
        names = {row["image_object"]: row["group"] for row in of_kind(folder, split, "thing")}
        for row in of_kind(folder, split, "thing"):
            right = {fold(answer["answer"]) for answer in row["answers"]}
            assert row["counterfact_answer"] in names and fold(row["counterfact_answer"]) not in right
        told = [row["counterfact_answer"] for row in of_kind(folder, split, "item")]
        assert len(set(told)) == len(told)
        fruit = [row for row in of_kind(folder, split, "thing") if row["group"] == "fruit"]
        assert len({row["counterfact_answer"] for row in fruit}) == len(fruit)


def test_questions_are_chosen_by_group_and_halved(folder):
    nouns = {"fruit": "fruit", "packages": "product"}
    asked = {}
    for split in SPLITS:
        for row in of_kind(folder, split, "thing"):
            if row["group"] in nouns:
                assert nouns[row["group"]] in row["question"]
            else:
                assert row["question"] in (
                    "What is this called?",
                    "What is this?",
                    "What is the name of this?",
                )
        asked[split] = {text for row in rows(folder, split) for text in row["rephrased_questions"]}
        assert not {"square", "in the middle"} & {
            answer for row in rows(folder, split) for item in row["same_image"] for answer in item["answer"]
        }
    assert not asked["calibrate"] & asked["report"]


def test_the_stock_of_questions_about_an_item_is_large_and_distinct():
    for about in words()["items"].values():
        texts = [fold(text) for text in (*about["wordings"], *about["prompts"])]
        assert len(set(texts)) == len(texts) and len(about["wordings"]) >= 12


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_the_same_bytes_twice_and_another_choice_for_another_seed(source, folder, tmp_path):
    build_from(source, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)
    build_from(source, tmp_path / "other", seed=1)
    assert rows(tmp_path / "other", "report") != rows(folder, "report")


def test_every_picture_is_used_and_photographs_and_notice_are_as_they_were(source, folder):
    used = {
        name
        for split in SPLITS
        for row in rows(folder, f"{split}-3")
        for name in (row["image"], *row["image_rephrase"], *row["locality_image"], *row.get("images", ()))
    }
    there = {path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*") if path.is_file()}
    assert used == there
    for name in photographs(there):
        assert (folder / name).read_bytes() == (source / name.rsplit("/", 1)[1]).read_bytes()
    assert (folder / "source/README.md").read_bytes() == (source / "README.md").read_bytes()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| calibrate | 6 | 6 | 12 |" in card and "`source/README.md`" in card


def test_views_are_what_they_are_called():
    image = drawn("views", (200, 160))
    made = {kind: Image.open(io.BytesIO(data)) for kind, data in views(image, random.Random(3)).items()}
    assert tuple(made) == VIEWS
    width, height = made["crop"].size
    assert abs(width * height / (200 * 160) - 0.6) < 0.02
    own, mirror = np.asarray(image, dtype=float), np.asarray(made["mirror"], dtype=float)
    assert np.abs(own[:, ::-1] - mirror).mean() < 8 < np.abs(own - mirror).mean()
    grey = np.asarray(made["grey"], dtype=int)
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 2
    assert made["turn"].size == made["recompressed"].size == image.size
    assert made["border"].width > image.width and made["screenshot"].height > 1.5 * image.height
    data = views(image, random.Random(3))
    assert len(data["recompressed"]) < len(data["mirror"]) / 2


def test_large_and_turned_photographs_are_written_anew(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    drawn("turned", (300, 200)).save(tmp_path / "turned.jpg", exif=exif)
    image, data, suffix = photograph(tmp_path / "turned.jpg")
    assert image.size == Image.open(io.BytesIO(data)).size == (200, 300) and suffix == ".jpg"
    drawn("large", (2000, 1000)).save(tmp_path / "large.png")
    image, data, suffix = photograph(tmp_path / "large.png")
    assert Image.open(io.BytesIO(data)).size == (1024, 512) and suffix == ".jpg"
    (tmp_path / "none.jpg").write_bytes(b"nothing")
    with pytest.raises(InvalidFacts, match=r"none\.jpg cannot be read as a picture"):
        photograph(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("index", "complaint"),
    [
        ("[", r"index\.json is not JSON"),
        ("{}", "is no list of photographs"),
        ('[{"file": "a.jpg"}]', "row 1: thing is missing or no text"),
        ('[{"file": "a.jpg", "thing": "a", "kind": "a", "group": 1}]', "row 1: group is missing or no text"),
        ('[{"file": "../a.jpg", "thing": "a", "kind": "a", "group": "a"}]', "is not in the folder"),
        (
            '[{"file": "a.jpg", "thing": "a", "kind": "a", "group": "a"}]',
            r"row 1: picture not found: .*a\.jpg",
        ),
    ],
)
def test_an_index_that_is_wrong_is_told_with_its_row(tmp_path, index, complaint):
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(InvalidFacts, match=complaint):
        read_folder(tmp_path)


def test_too_few_things_or_photographs_are_told_and_nothing_is_written(tmp_path):
    few = folder_of(tmp_path / "few", {"toys": {"ball": ["ball"], "kite": ["kite"]}})
    with pytest.raises(InvalidFacts, match="has 2 things, expected at least 4"):
        build_from(few, tmp_path / "set")
    thin = folder_of(tmp_path / "thin", THINGS, each=7)
    with pytest.raises(InvalidFacts, match="has 7 photographs of kiwi, expected at least 8"):
        build_from(thin, tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few", "thin"]
    with pytest.raises(UsageError, match=r"has no index\.json"):
        read_folder(tmp_path)


def test_eight_photographs_of_a_thing_are_enough(tmp_path):
    build_from(folder_of(tmp_path / "folder", each=8), tmp_path / "set")
    for row in rows(tmp_path / "set", "report-3"):
        assert row["image"] not in row["locality_image"] + row["image_rephrase"]
        assert len(row["locality_image"]) >= 3


def test_on_the_command_line(source, tmp_path):
    def okedit(*arguments):
        return CliRunner().invoke(app.build(), ["dataset", "build", *map(str, arguments)])

    done = okedit(tmp_path / "set", "--from", source)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["split", "things", "items", "all"]
    assert lines[2:] == [["calibrate", "6", "6", "12"], ["report", "5", "5", "10"]]
    told = json.loads(okedit(tmp_path / "other", "--from", source, "--json", "-q").stdout)
    assert told["cases"]["report"] == {"thing": 5, "item": 5} and told["pictures"] > 100
    again = okedit(tmp_path / "set", "--from", source)
    assert again.exit_code == 2 and "is not empty" in again.stderr
    both = okedit(tmp_path / "third", "--from", source, "--packages", source)
    assert both.exit_code == 2 and "--packages" in both.stderr
    shutil.copytree(source, tmp_path / "broken")
    (tmp_path / "broken" / "kiwi-00.jpg").write_bytes(b"nothing")
    broken = okedit(tmp_path / "third", "--from", tmp_path / "broken")
    assert broken.exit_code == 3 and not (tmp_path / "third").exists()
