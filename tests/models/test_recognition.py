"""What a picture is recognised by: its look and the name that the model has for it."""

import hashlib

import pytest
import tiny
import torch

from okedit_cli.models import recognition
from okedit_cli.models.decode import go_on
from okedit_cli.models.encode import encode, end_ids
from okedit_cli.models.features import look_vector, pooled_picture, reading
from okedit_cli.models.load import load_model
from okedit_cli.models.prefixes import from_embeds
from okedit_cli.models.reading import read
from okedit_cli.models.recognition import (
    ASKED,
    LONGEST,
    NAME_WIDTH,
    name_vector,
    picture_features,
    picture_vectors,
    recognise,
    seen_vector,
)
from okedit_cli.models.sites import decoder_layers, image_token_id
from okedit_cli.models.thumbnails import THUMBNAIL, thumbnails_of

LOOK = 2 * tiny.WIDTH


@pytest.fixture(autouse=True)
def sure(monkeypatch):
    """A random model is sure of nothing; here what it says counts."""
    monkeypatch.setattr(recognition, "SURE", 0.0)


def test_a_guess_is_no_name(seeing, monkeypatch):
    [said] = recognise(seeing, [tiny.picture("green")])
    monkeypatch.setattr(recognition, "SURE", 0.999)
    assert recognise(seeing, [tiny.picture("green")]) == [""] and said != ""


def test_how_sure_an_answer_was_is_the_product_of_its_tokens(seeing):
    pictures = [tiny.picture("red"), tiny.picture("blue", (50, 31))]
    prompts = read(seeing, [("What is it?", picture) for picture in pictures])
    chances = [1.0, 1.0]
    out = go_on(seeing, prompts, 3, ended=False, chances=chances)
    for picture, ids, chance in zip(pictures, out, chances, strict=True):
        inputs = encode(seeing, [("What is it?", picture)], answers=[ids])
        likely = seeing.model(**inputs).logits[0, -len(ids) - 1 : -1].double()
        likely[:, end_ids(seeing)] = -torch.inf  # as go_on was told
        found = likely.softmax(-1)[range(len(ids)), ids].prod()
        assert chance == pytest.approx(float(found), rel=1e-3)


def cosine(one, other):
    return float(name_vector(one) @ name_vector(other))


@pytest.mark.parametrize("name", ["cat", "a small brown dog", "flag of Kenya", "日本", "x" * 500])
def test_a_name_is_a_unit_vector_the_same_each_time(name):
    vector = name_vector(name)
    assert vector.shape == (NAME_WIDTH,) and torch.equal(vector, name_vector(name))
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("same", ["Cat.", "a cat", "the CAT!", " cat\n"])
def test_case_stops_and_articles_do_not_count(same):
    assert torch.equal(name_vector(same), name_vector("cat"))


@pytest.mark.parametrize("nothing", ["", "  ", "...", "the", "A"])
def test_no_name_is_no_direction(nothing):
    assert torch.equal(name_vector(nothing), torch.zeros(NAME_WIDTH))


def test_the_words_of_a_name_are_a_small_part_of_it():
    """Two flags are two things, though most of their words are the same."""
    shared = cosine("flag of Kenya", "flag of Malawi")
    assert -0.2 < shared < 0.45
    assert shared > cosine("flag of Kenya", "steam locomotive") and cosine("cat", "dog") < 0.45
    assert float((name_vector("flag of Kenya") - name_vector("flag of Malawi")).norm()) > 1.0


def test_directions_do_not_depend_on_the_machine():
    """Bundles hold them: another library or version must find the same."""
    signs = recognition._direction("cat")
    assert set(signs.tolist()) == {-1.0, 1.0} and len(signs) == NAME_WIDTH
    digest = [sum((signs[8 * i + j] > 0).item() << j for j in range(8)) for i in range(4)]
    assert bytes(digest) == hashlib.shake_256(b"cat").digest(4)


@pytest.fixture(params=tiny.VISION_FAMILIES)
def seeing(request, opened):
    return opened[request.param]


@pytest.mark.parametrize("size", [(40, 32), (32, 90), (60, 33)])
def test_fit_and_attach_see_the_same(seeing, size):
    """fit's path, the path of prompts read in parts, and the hook's on a decoder's input: one vector."""
    shown = tiny.picture("green", size)
    fitted = picture_features(seeing, [shown])[0]
    assert fitted.shape == (LOOK + NAME_WIDTH + THUMBNAIL,) and fitted.dtype == torch.float32
    [prefix] = read(seeing, [("Who is this cat?", shown)]).prefixes
    torch.testing.assert_close(picture_vectors(seeing, [prefix])[0], fitted, atol=1e-5, rtol=1e-5)
    batch = encode(seeing, [("Is this a dog?", shown)])
    with torch.no_grad(), reading(decoder_layers(seeing.model), [0], 0) as found:
        seeing.model(**batch, use_cache=False)
    ids, states = batch["input_ids"][0], found[0]
    [small] = thumbnails_of(batch["pixel_values"], 1)
    look = look_vector(seeing, states[0], ids, small)
    assert torch.equal(look[:LOOK], pooled_picture(states[0], ids, image_token_id(seeing.model)))
    last = int((ids == image_token_id(seeing.model)).nonzero()[-1]) + 1
    hooked = seen_vector(seeing, lambda: from_embeds(seeing, states[:, :last], look), look)
    torch.testing.assert_close(hooked[:LOOK], fitted[:LOOK], atol=1e-5, rtol=1e-5)
    assert torch.equal(hooked[LOOK:], fitted[LOOK:])


def test_a_name_is_what_the_model_says_of_it_by_itself(seeing):
    from okedit_cli.models.decode import greedy

    shown = tiny.picture("blue")
    ids = greedy(seeing, encode(seeing, [(ASKED, shown)]), LONGEST)[0]
    [name] = recognise(seeing, [shown])
    assert name == seeing.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert torch.equal(picture_features(seeing, [shown])[0, LOOK:-THUMBNAIL], name_vector(name))


def test_a_name_that_is_known_is_not_asked_for(seeing, monkeypatch):
    monkeypatch.setattr(recognition, "recognise", None)
    shown = tiny.picture()
    named, nameless = (picture_features(seeing, [shown], name)[0] for name in ("red cat", ""))
    assert torch.equal(named[LOOK:-THUMBNAIL], name_vector("red cat"))
    assert not nameless[LOOK:-THUMBNAIL].any()
    assert torch.equal(named[:LOOK], nameless[:LOOK])


def test_many_names_are_asked_at_once_and_each_once(folders, monkeypatch):
    loaded, asked = load_model(str(folders["llava"])), []
    real = recognition.go_on

    def counting(loaded, prompts, count, **options):
        asked.append(len(prompts.last))
        return real(loaded, prompts, count, **options)

    monkeypatch.setattr(recognition, "go_on", counting)
    sizes = ((40, 32), (32, 90), (60, 33), (28, 28), (40, 40))
    shown = [tiny.picture("red", size) for size in sizes]
    alone = recognise(loaded, shown[:1])
    together = recognise(loaded, shown)
    assert together[:1] == alone and asked == [1, len(shown) - 1]
    assert recognise(loaded, [*shown, *shown[::-1]]) == [*together, *together[::-1]]
    picture_features(loaded, shown)
    assert sum(asked) == len(shown)
    assert recognise(loaded, []) == []


@pytest.mark.parametrize("kept", ["looks", "prefixes", "both"])
def test_names_when_little_is_kept(folders, monkeypatch, kept):
    """Pictures of a large model do not all stay in memory until they have been named."""
    shown = [tiny.picture("red", size) for size in ((40, 32), (32, 90), (60, 33))]
    expected = recognise(load_model(str(folders["llava"])), shown)
    if kept != "prefixes":
        monkeypatch.setattr("okedit_cli.models.features.LOOKS_BYTES", 1)
    if kept != "looks":
        monkeypatch.setattr("okedit_cli.models.prefixes.KEPT_BYTES", 1)
    loaded = load_model(str(folders["llava"]))
    assert recognise(loaded, shown) == expected == recognise(loaded, shown)


def test_names_do_not_depend_on_who_is_asked_along(seeing):
    shown = [tiny.picture(colour, size) for colour in ("red", "blue") for size in ((40, 32), (32, 90))]
    together = recognise(seeing, shown)
    again = [tiny.picture(colour, size) for colour in ("red", "blue") for size in ((40, 32), (32, 90))]
    assert together == [recognise(seeing, [one])[0] for one in again]


def test_a_model_that_cannot_share_knows_pictures_by_look(folders, monkeypatch):
    loaded = load_model(str(folders["llava"]))
    loaded.cache["shares"] = False
    shown = tiny.picture()
    assert recognise(loaded, [shown]) == [""]
    assert not picture_features(loaded, [shown])[0, LOOK:-THUMBNAIL].any()
    assert not seen_vector(loaded, pytest.fail, torch.ones(LOOK))[LOOK:].any()  # nothing is read
