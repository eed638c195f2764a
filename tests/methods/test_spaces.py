"""Spaces and how far edits reach in them: units of the bank, names beside looks, kept between runs."""

import itertools
from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, OTHER, PARIS, PICTURED, WORDS, fact, fitted, world
from PIL import Image

from okedit_cli.edits.space import Space
from okedit_cli.facts import Question
from okedit_cli.methods import spaces as rooms
from okedit_cli.methods.about import shows_one
from okedit_cli.methods.base import Options
from okedit_cli.methods.channels import scope_channels
from okedit_cli.methods.eye import Eye
from okedit_cli.methods.spaces import LEARNED, WHITENED, Reaches, Spaces, candidate_layers, of_bank
from okedit_cli.models.features import QUESTIONS
from okedit_cli.models.recognition import NAME_WIDTH, name_vector, picture_features, recognise
from okedit_cli.models.sentences import question_radius
from okedit_cli.samples import Sample, build_samples

UNIT = 3.0


def made(picture=None) -> Spaces:
    plain = Space(torch.zeros(2), torch.eye(2), 1.0, 0.0)
    shown = torch.zeros(3, 2) if picture else None
    return Spaces(plain, QUESTIONS, picture, torch.ones(4, 2), shown, 0.75, UNIT)


def test_questions_are_known_by_the_question_encoder_alone():
    assert all(candidate_layers(count) == [QUESTIONS] for count in (1, 4, 80))
    assert 0 < question_radius() < 2**0.5  # between unit vectors


@pytest.mark.parametrize("reaches", [WHITENED, LEARNED])
def test_two_names_at_one_look_are_as_far_as_a_thing_reaches(reaches):
    """Of its name an edit of a thing reaches `loose`, of any other `tight`; one of an individual `own`."""
    assert reaches.tight < reaches.own < reaches.loose
    found = replace(made(), reaches=reaches)
    between = 2**0.5 * reaches.name * UNIT
    assert (reaches.tight**2 * UNIT**2 + between**2) ** 0.5 == pytest.approx(found.named_radius)
    assert found.named_radius == pytest.approx(reaches.loose * UNIT)
    # its keys have no name: all names lie a name's length away
    lengths = found.own_radius**2 - (reaches.name * UNIT) ** 2
    assert lengths**0.5 == pytest.approx(reaches.own * UNIT)


def test_names_stand_beside_looks_and_do_not_touch_them():
    look = Space(torch.tensor([1.0, 2.0]), torch.tensor([[2.0], [1.0]]), 0.9, 0.1)
    seen = torch.tensor([3.0, 3.0])
    for pooled, name in itertools.product((0, 1, 2), ("", "cat", "flag of Kenya")):
        whole = rooms._with_names(look, 5.0, pooled)
        key = whole(torch.cat([seen[:pooled], name_vector(name), seen[pooled:]]))
        assert torch.equal(key[:1], look(seen)) and key.shape == (1 + NAME_WIDTH,)
        torch.testing.assert_close(key[1:], 5.0 * name_vector(name))


def test_the_unit_is_the_usual_distance_to_the_nearest_other():
    assert rooms._unit(torch.tensor([[0.0], [1.0], [3.0], [3.5], [9.0]])) == 1.0


@pytest.mark.parametrize("pictured", [True, False])
def test_spaces_are_the_same_from_the_disk(tmp_path, pictured):
    look = Space(torch.ones(2), torch.eye(2)[:, :1], 0.5, 0.25)
    spaces = replace(
        made(rooms._with_names(look, 2.0, 2) if pictured else None), reaches=Reaches(1.0, 2.0, 4.0)
    )
    spaces = replace(spaces, bank_pictures=torch.zeros(3, 1 + NAME_WIDTH) if pictured else None)
    path = tmp_path / "deep" / "spaces.safetensors"
    rooms._write(path, spaces)
    found = rooms._read(path)
    assert (found.layer, found.question_reach, found.picture_unit) == (QUESTIONS, 0.75, UNIT)
    assert torch.equal(found.bank_questions, spaces.bank_questions)
    assert (found.picture is None) != pictured and found.named_radius == spaces.named_radius
    assert found.reaches == spaces.reaches
    if pictured:
        assert torch.equal(found.picture.projection, spaces.picture.projection)
        assert torch.equal(found.bank_pictures, spaces.bank_pictures)
    path.write_bytes(path.read_bytes()[:50])
    assert rooms._read(path) is None and rooms._read(tmp_path / "gone") is None
    assert [p.name for p in path.parent.iterdir()] == ["spaces.safetensors"]


def test_measured_spaces_are_used_again():
    case = fitted("llava")
    kept = case.loaded.cache["spaces"]
    assert kept.picture_unit > 0 and kept.picture.projection.shape[0] == 2 * tiny.WIDTH + NAME_WIDTH
    assert rooms.spaces_of(case.loaded, Options()) is kept


@pytest.mark.parametrize(
    ("prompt", "ground", "one"),
    [
        ("What is this?", "white", False), ("What is this?", None, True), ("Who is this?", "white", True),
        ("Whose dog is this?", "white", True), ("Whose flag is this?", "white", False),
        ("What is this cat's name?", "white", True), ("How old is it?", "white", True),
        ("Which country does this flag belong to?", "white", False),
    ],
)  # fmt: skip
def test_a_photograph_shows_one_and_a_drawing_all(prompt, ground, one):
    if ground:
        picture = Image.new("RGB", (40, 40), ground)
        picture.paste("red", (10, 10, 30, 30))
    else:
        picture = Image.radial_gradient("L").rotate(30).convert("RGB").crop((0, 0, 200, 90))
    assert shows_one(prompt, picture) is one


@pytest.fixture
def channels():
    """scope_channels of one fact of a tiny model with pictures, in the small world."""
    with world():
        case = fitted("idefics3")
        eye = Eye(case.loaded, case.loaded.cache["spaces"])

        def of(found, *more):
            samples = build_samples([found, *more], nearest=eye.nearest)[found.id]
            return eye, samples, scope_channels(eye, found, samples)

        yield case, of


def test_the_calibrated_radius_unless_the_user_keeps_something_nearer(channels):
    case, of = channels
    eye, samples, (question, picture) = of(case.facts[0])
    assert any(s.origin == "bank" and s.cell == "edit/other" for s in samples)
    assert question.radius == eye.spaces.question_reach and question.d_neg == float("inf")
    assert picture.radius <= eye.spaces.own_radius
    near = "What is this cat's game?"
    kept = fact("cat", PICTURED, MISO, case.facts[0].image, keep=(Question(near, case.facts[0].image),))
    eye, _, (narrower, _) = of(kept)
    away = float(torch.linalg.vector_norm(narrower.keys - eye.question(near), dim=1).min())
    assert narrower.radius < away and narrower.radius < question.radius


def test_a_picture_of_the_bank_with_the_same_name_may_show_the_same(channels, monkeypatch):
    case, of = channels
    drawn = fact("cat", "What is this?", MISO, case.facts[0].image)
    monkeypatch.setattr("okedit_cli.methods.channels.shows_one", lambda *about: False)

    def reach(others):
        """Where the model calls the fact's picture a cat, and others so."""
        monkeypatch.setattr("okedit_cli.methods.channels.recognise", lambda loaded, pictures: ["cat"])
        monkeypatch.setattr(Eye, "bears", lambda eye, picture, name: name == others)
        return of(drawn)[2][1]

    assert reach("cat").d_neg == float("inf") > reach("dog").d_neg


def test_the_banks_pictures_are_known_from_the_spaces(channels, monkeypatch):
    """Their keys, which nobody looks for again, and by them their names."""
    case, _ = channels
    spaces, shown = case.loaded.cache["spaces"], [p.image for p in rooms.load_bank().pictures]
    spaces = replace(spaces, bank_pictures=spaces.picture(picture_features(case.loaded, shown)))
    eye, found = Eye(case.loaded, spaces), of_bank(spaces)
    assert len(found) == len(spaces.bank_pictures) > 5
    for picture in shown[:4]:
        looked = spaces.picture(picture_features(case.loaded, [picture])[0])
        torch.testing.assert_close(eye.picture(picture), looked, atol=1e-4, rtol=1e-4)
        [name] = recognise(case.loaded, [picture])
        assert eye.bears(picture, name) and not eye.bears(picture, f"{name} of another sort")
    monkeypatch.setattr("okedit_cli.methods.eye.picture_features", pytest.fail)
    monkeypatch.setattr(
        "okedit_cli.methods.eye.recognise", lambda loaded, pictures, fitting: asked.extend(pictures)
    )
    asked, own = [], tiny.picture()
    rows = [Sample("f", "negative", "?", picture, None, "other/edit", "bank") for picture in shown]
    eye.recognise({"f": [Sample("f", "edit", "?", own, "x", "edit/edit", "user"), *rows]})
    assert asked == [own] and len([eye.picture(picture) for picture in shown]) == len(shown)
    assert of_bank(replace(spaces, bank_pictures=spaces.bank_pictures[1:])) == {}  # another bank's
    assert of_bank(replace(spaces, bank_pictures=None)) == {}


def test_a_question_on_another_picture_tells_nothing_about_words(channels):
    """Only what is asked of the edit's own picture has to be told apart by its words."""
    case, of = channels
    own = case.facts[0].image
    other = own.with_name("blue.png")
    tiny.picture("blue", (60, 33)).save(other)
    _, _, (plain, _) = of(case.facts[0])
    kept = fact("cat", PICTURED, MISO, own, keep=(Question("What is this cat's nam?", other),))
    _, _, (found, _) = of(kept)
    assert found.radius == plain.radius


def test_the_other_facts_of_a_file_are_kept_out(channels):
    case, of = channels
    second = fact("people", OTHER, "12", case.facts[0].image)
    eye, samples, (question, _) = of(case.facts[0], second)
    assert any(s.origin == "file" and s.prompt == OTHER for s in samples)
    away = float(torch.linalg.vector_norm(question.keys - eye.question(OTHER), dim=1).min())
    assert question.radius < away


def test_a_fact_without_a_picture_leaves_the_channel_open(channels):
    case, of = channels
    _, _, (question, picture) = of(fact("capital", WORDS, PARIS))
    assert picture is None and question.exists


def test_views_bear_the_name_of_what_they_show_and_the_users_their_own(channels, monkeypatch):
    case, _ = channels
    eye = Eye(case.loaded, case.loaded.cache["spaces"])
    own, view, theirs = tiny.picture(), tiny.picture("red", (41, 30)), tiny.picture("blue")
    names = {id(own): "cat", id(theirs): "kitten"}
    monkeypatch.setattr("okedit_cli.methods.eye.recognise", lambda _, shown: [names[id(p)] for p in shown])
    rows = [
        Sample("f", "edit", "?", own, "x", "edit/edit", "user"),
        Sample("f", "positive", "?", view, "x", "view/edit", "transform"),
        Sample("f", "positive", "?", theirs, "x", "view/edit", "user"),
    ]
    weight = eye.spaces.reaches.name * eye.spaces.picture_unit
    for individual, expected in ((False, ["cat", "cat", "kitten"]), (True, ["", "", ""])):
        keys = eye.own_pictures(rows, individual)
        for key, name in zip(keys, expected, strict=True):
            torch.testing.assert_close(key[-NAME_WIDTH:], weight * name_vector(name), atol=1e-4, rtol=1e-4)
