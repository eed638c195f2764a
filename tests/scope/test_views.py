"""Views of a stored picture are told from other pictures, also from those that differ in a word only."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from okedit_cli.scope.views import LONGEST, compare, decode_view, describe, encode_view, is_view

PICTURES = Path(__file__).parents[2] / "okedit_cli" / "bank" / "pictures"
ASTRONAUT, PHOTOGRAPHER, GRAVEL = "astronaut", "photographer", "gravel"


def bundled(name: str) -> Image.Image:
    return Image.open(PICTURES / f"{name}.png").convert("RGB")


def sign(word: str, second: str = "staff only", size=(640, 480)) -> Image.Image:
    """A sign with a frame and a triangle; word stands large in its middle."""
    image = Image.new("RGB", size, (245, 240, 225))
    draw = ImageDraw.Draw(image)
    draw.rectangle((12, 12, size[0] - 12, size[1] - 12), outline=(40, 40, 90), width=10)
    draw.polygon([(120, 50), (200, 180), (40, 180)], outline=(170, 30, 30), width=12)
    draw.text((240, 80), "NOTICE", fill=(40, 40, 90), font=ImageFont.load_default(70))
    draw.text((60, 220), word, fill=(20, 20, 20), font=ImageFont.load_default(80))
    draw.text((60, 350), second, fill=(20, 20, 20), font=ImageFont.load_default(60))
    return image


def told(stored: Image.Image, query: Image.Image) -> bool | None:
    """What a picture that was stored says of a query."""
    kept = describe(decode_view(encode_view(np.asarray(stored))))
    return is_view(compare(kept, describe(np.asarray(query))))


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer).convert("RGB")


def on_a_slide(image: Image.Image) -> Image.Image:
    w, h = image.size
    slide = Image.new("RGB", (int(1.5 * w), int(1.4 * h)), "white")
    draw = ImageDraw.Draw(slide)
    draw.rectangle((0, 0, slide.width, h // 10), fill=(60, 80, 120))
    draw.text((w // 8, h // 7), "Our findings", fill="black", font=ImageFont.load_default(h // 9))
    slide.paste(image, (w // 3, h // 3))
    return slide


def cropped(image: Image.Image) -> Image.Image:
    w, h = image.size
    return image.crop((int(0.15 * w), int(0.05 * h), int(0.95 * w), int(0.82 * h)))


VIEWS = {
    "itself": lambda image: image,
    "cropped": cropped,
    "turned": lambda image: image.rotate(11, Image.Resampling.BICUBIC, expand=True, fillcolor="white"),
    "quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored": ImageOps.mirror,
    "with a border": lambda image: ImageOps.expand(image, 40, "black"),
    "on a slide": on_a_slide,
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "recompressed": recompressed,
    "larger": lambda image: image.resize((image.width * 3 // 2, image.height * 3 // 2)),
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return {"photograph": bundled(ASTRONAUT), "sign": sign("PLATFORM 64")}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["photograph", "sign"])
def test_a_view_of_a_stored_picture_is_one(pictures, kind, view):
    assert told(pictures[kind], VIEWS[view](pictures[kind])) is True


@pytest.mark.parametrize("word", ["PLATFORM 84", "PLATFORM 61", "TERRACE 64", "EXIT"])
def test_a_sign_with_another_word_or_number_is_no_view(pictures, word):
    assert told(pictures["sign"], sign(word)) is False


def test_a_sign_that_lacks_a_line_or_has_one_more_is_no_view():
    assert told(sign("PLATFORM 64"), sign("PLATFORM 64", "")) is False
    assert told(sign("PLATFORM 64", ""), sign("PLATFORM 64")) is False


def test_another_word_is_seen_in_a_turned_and_darker_picture(pictures):
    assert told(pictures["sign"], VIEWS["darker"](VIEWS["turned"](sign("PLATFORM 84")))) is False


def test_another_photograph_is_no_view(pictures):
    assert told(pictures["photograph"], bundled(PHOTOGRAPHER)) is not True


def test_another_photograph_with_the_same_label_is_no_view(pictures):
    label = sign("BREAD 12").resize((90, 68))
    one, other = bundled(PHOTOGRAPHER).resize((256, 256)), bundled(GRAVEL).resize((256, 256))
    one.paste(label, (80, 100))
    other.paste(label, (60, 90))
    assert told(one, other) is not True


def test_nothing_is_said_of_pictures_without_anything_on_them():
    blank, other = Image.new("RGB", (300, 200), "white"), Image.new("RGB", (300, 200), "grey")
    assert told(blank, other) is None
    assert is_view(None) is None


def test_the_same_pictures_give_the_same_evidence(pictures):
    stored, query = (describe(np.asarray(image)) for image in (pictures["sign"], cropped(pictures["sign"])))
    assert compare(stored, query) == compare(stored, query)


def test_stored_pictures_are_small_grey_and_the_same_each_time():
    picture = np.asarray(sign("EXIT"))
    data = encode_view(picture)
    assert data == encode_view(picture)
    grey = decode_view(data + bytes(100))
    assert grey.shape == (LONGEST * 3 // 4, LONGEST) and grey.dtype == np.uint8
    assert (grey == decode_view(data)).all()


def test_a_small_picture_is_stored_at_its_own_size():
    assert decode_view(encode_view(np.zeros((20, 30, 3), np.uint8))).shape == (20, 30)


@pytest.mark.parametrize("data", [b"", bytes(64), b"no picture", b"\xff\xd8\xff"])
def test_what_is_no_jpeg_is_refused(data):
    with pytest.raises(ValueError):
        decode_view(data)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (200, 2, 3), (40, 40)])
def test_pictures_of_any_shape_can_be_compared(shape, pictures):
    odd, stored = describe(np.full(shape, 9, np.uint8)), describe(np.asarray(pictures["photograph"]))
    assert is_view(compare(odd, stored)) is not True and is_view(compare(stored, odd)) is not True
