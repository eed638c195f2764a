"""Pictures: art on white, views, drawings of flat SVG, and pictures that are nearly the same."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import numpy as np
import pytest
from dataset.fake_packages import art
from PIL import Image

from okedit_cli.dataset.alike import without_twins
from okedit_cli.dataset.svg import NotFlat, draw
from okedit_cli.dataset.things import Thing
from okedit_cli.dataset.views import SIDE, VIEWS, opened, plain, views
from okedit_cli.errors import SetupError

THING = Thing("drawing/x", "drawing", ("owl",), "animal", "animal", ("bird",), "birds", art("owl"))


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def of_one_colour(colour, size=(64, 64)):
    buffer = io.BytesIO()
    Image.new("RGBA", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_art_stands_in_the_middle_of_white_ground():
    image = np.asarray(plain(opened(of_one_colour("red"), "red")))
    assert image.shape == (SIDE, SIDE, 3)
    assert (image[0, 0] == 255).all() and (image[64, 64] == (255, 0, 0)).all()
    red = (image == (255, 0, 0)).all(axis=2)
    assert abs(red.sum() / SIDE**2 - 0.84**2) < 0.02
    assert (
        np.abs(red.argmax(axis=1).max() + red[:, ::-1].argmax(axis=1).max() - 2 * red.argmax(axis=1).max())
        < 3
    )


def test_four_views_differ_from_the_picture_and_each_other_but_not_much():
    own = np.asarray(plain(opened(THING.art, "owl")), dtype=float)
    made = views(opened(THING.art, "owl"), "flag", random.Random(1))
    assert [view.name for view in made] == list(VIEWS)
    looks = [own, *(pixels(view.data) for view in made)]
    for number, look in enumerate(looks):
        assert look.shape == (SIDE, SIDE, 3)
        assert all(np.abs(look - other).mean() > 3 for other in looks[:number])


def test_views_are_the_same_for_the_same_draw_and_others_for_another():
    one, again, other = (
        [view.data for view in views(opened(THING.art, "owl"), "drawing", random.Random(seed))]
        for seed in (1, 1, 2)
    )
    assert one == again and all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_flags_keep_their_hue_and_sides(seed):
    flag = Image.new("RGBA", (64, 40), "red")
    flag.paste((0, 0, 255, 255), (32, 0, 64, 40))
    for view in views(flag, "flag", random.Random(seed)):
        look = pixels(view.data)
        left, right = look[60:68, 36:50].mean(axis=(0, 1)), look[60:68, 78:92].mean(axis=(0, 1))
        assert left[0] > 2 * left[2] and right[2] > 2 * right[0], view.name


def test_a_photograph_fills_its_views():
    photograph = opened(of_one_colour((20, 120, 60), (32, 32)), "photograph")
    for view in views(photograph, "photograph", random.Random(3)):
        assert pixels(view.data).max() < 220, view.name


def test_art_that_is_no_picture_is_told_by_name():
    with pytest.raises(SetupError, match="picture of the owl cannot be read"):
        opened(b"\x89PNG but not really", "the owl")


def test_of_twins_the_first_is_kept_whoever_drew_them():
    same = replace(THING, key="drawing/y", art=art("other"), others={"twemoji": art("tw")})
    first = replace(THING, others={"twemoji": art("tw")})
    flag = replace(THING, key="flag/y", kind="flag")
    kept, twins = without_twins([first, same, flag])
    assert kept == [first, flag] and twins == [(same, first)]


def test_a_picture_by_a_further_artist_that_is_another_things_is_left_out_alone():
    first = replace(THING, others={"openmoji": art("o")})
    other = replace(THING, key="drawing/y", art=art("y"), others={"twemoji": art("t"), "openmoji": art("o")})
    kept, twins = without_twins([first, other])
    assert [list(thing.others) for thing in kept] == [["openmoji"], ["twemoji"]] and not twins


def test_a_small_emblem_is_a_difference():
    flag = Image.new("RGBA", (64, 64), "red")
    star = flag.copy()
    star.paste("white", (24, 24, 40, 40))
    images = []
    for image in (flag, star):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        images.append(replace(THING, key=str(len(images)), art=buffer.getvalue()))
    assert len(without_twins(images)[0]) == 2


def test_another_artists_picture_that_is_the_same_is_none():
    thing = replace(THING, others={"copy": THING.art, "own": art("own"), "odd": b"<svg><use/></svg>"})
    [kept], _ = without_twins([thing])
    assert list(kept.others) == ["own"]


def svg(inside):
    return f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{inside}</svg>'.encode()


def test_flat_svg_is_drawn_with_fills_strokes_holes_and_transforms():
    image = np.asarray(
        draw(
            svg(
                '<g fill="#00f"><rect x="6" y="6" width="60" height="60"/></g>'
                '<path fill="#f00" d="M18 18h36v36H18zM30,30v12h12V30z"/>'
                '<circle cx="0" cy="0" r="4" fill="#0f0" transform="translate(10 10)"/>'
                '<line x1="0" y1="70" x2="72" y2="70" stroke="#000" stroke-width="4"/>'
            ),
            72,
        )
    )
    assert tuple(image[36, 36]) == (0, 0, 255, 255)  # the hole, wound the other way
    assert tuple(image[24, 24]) == (255, 0, 0, 255)
    assert tuple(image[10, 10]) == (0, 255, 0, 255)
    assert tuple(image[70, 30]) == (0, 0, 0, 255)
    assert image[2, 2, 3] == 0


def test_arcs_and_curves_go_where_they_should():
    # a half circle, its two flags written together with the number after them
    image = np.asarray(draw(svg('<path d="M16 36a20 20 0 0140 0z"/>'), 72))
    assert image[20, 36, 3] == 255 and image[50, 36, 3] == 0 and image[17, 18, 3] == 0
    area = (image[..., 3] > 127).sum()
    assert abs(area - np.pi * 20**2 / 2) < 25
    bow = np.asarray(draw(svg('<path d="M6 36C6 6 66 6 66 36s-60 30-60 0z"/>'), 72))
    assert bow[36, 36, 3] == 255 and bow[10, 36, 3] == 0 and bow[4, 4, 3] == 0


@pytest.mark.parametrize(
    "inside",
    [
        '<defs><linearGradient id="a"/></defs>',
        '<rect style="fill:red" width="3" height="3"/>',
        '<use href="#a"/>',
        '<path d="M3 3 L5"/>',
        '<rect width="3" height="3" transform="skewX(3)"/>',
    ],
)
def test_what_is_not_flat_is_refused(inside):
    with pytest.raises(NotFlat):
        draw(svg(inside), 16)


def test_no_entity_is_expanded():
    with pytest.raises(NotFlat):
        draw(b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"), 16)
