"""Any usual file becomes an upright RGB picture; anything else becomes a sentence that names it."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts.pictures import load_picture, picture_sha256
from okedit_cli.samples.transforms import _outside, has_white_border, views


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Smooth, with a different colour in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 / width, y * 255 / height, 255 - x * 255 / width], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def close(picture: Image.Image, colour: tuple[int, int, int], at: tuple[int, int], room: int = 12) -> bool:
    return all(abs(a - b) <= room for a, b in zip(picture.getpixel(at), colour, strict=True))


def test_reads_path_bytes_and_open_file_alike(tmp_path: Path):
    data = saved(scene(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        pictures = [load_picture(path), load_picture(str(path)), load_picture(data), load_picture(file)]
    assert all(p.mode == "RGB" and p.tobytes() == scene().tobytes() for p in pictures)
    assert picture_sha256(path) == picture_sha256(data)


def test_turns_upright_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture = load_picture(saved(scene(60, 40), "JPEG", exif=exif, quality=95))
    assert picture.size == (40, 60)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_see_through_parts_become_white(mode: str):
    picture = Image.new("RGBA", (8, 8), (200, 30, 30, 0))
    kind = "TIFF" if mode == "PA" else "PNG"
    data = saved(picture if mode == "PA" else picture.convert(mode), kind)
    assert load_picture(data).getpixel((3, 3)) == (255, 255, 255)


def test_palette_with_a_clear_colour():
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 1), 1)
    loaded = load_picture(saved(picture, "PNG", transparency=0))
    assert loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((1, 1)) == (200, 100, 50)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_greys(kind: str):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    loaded = np.asarray(load_picture(saved(Image.fromarray(ramp), kind)))[..., 0].ravel()
    assert loaded[0] == 0 and loaded[-1] == 255
    assert (np.diff(loaded.astype(int)) > 0).all()


def test_thirty_two_bit_and_float_tiff():
    for values in (np.full((4, 4), 0.5, np.float32), np.full((4, 4), 32768, np.int32)):
        values[0, 0] = 1.0 if values.dtype == np.float32 else 65535
        loaded = load_picture(saved(Image.fromarray(values), "TIFF"))
        assert close(loaded, (128, 128, 128), (2, 2), 2)


def test_cmyk_jpeg_has_its_colours():
    picture = Image.new("RGB", (16, 16), (220, 40, 40)).convert("CMYK")
    assert close(load_picture(saved(picture, "JPEG", quality=95)), (220, 40, 40), (8, 8))


def test_animated_picture_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert close(load_picture(data), (255, 0, 0), (4, 4))


def test_one_pixel_is_a_picture():
    assert load_picture(saved(Image.new("1", (1, 1), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_off_file_is_refused_by_name(tmp_path: Path, kind: str):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    path = tmp_path / "half.bin"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidFacts, match="half.bin"):
        load_picture(path)


def test_picture_that_claims_too_many_pixels_is_refused():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (12_000, 60_000):
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        with pytest.raises(InvalidFacts, match="bomb.png claims more than"):
            load_picture(data, name="bomb.png")


@pytest.mark.parametrize("data", [b"<svg xmlns='x'/>", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_unsupported_kind_is_refused_with_a_hint(data: bytes):
    with pytest.raises(InvalidFacts, match="drawing.svg") as error:
        load_picture(data, name="drawing.svg")
    assert "PNG" in error.value.hint


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk, behind its header as profiles are."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("size", [10, 2_000_000, 200_000_000])
@pytest.mark.parametrize(
    ("kind", "head", "packed"),
    [
        (b"zTXt", b"Comment\0\0", True), (b"iCCP", b"profile\0\0", True), (b"tEXt", b"Comment\0", False),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0titre\0", True), (b"iTXt", b"Comment\0\0\0\0\0", False),
    ],
)  # fmt: skip
def test_a_long_text_or_profile_in_a_png_is_left_alone(kind, head, packed, size):
    if not packed and size > 10_000_000:
        pytest.skip("no small file holds it")
    content = head + (zlib.compress(bytes(size), 1) if packed else b"a" * size)
    data = with_chunk(saved(scene(), "PNG"), kind, content)
    assert load_picture(data).tobytes() == scene().tobytes()


def test_many_texts_in_a_png_are_left_alone():
    data = saved(scene(), "PNG")
    for _ in range(90):
        data = with_chunk(data, b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000), 1))
    assert load_picture(data).tobytes() == scene().tobytes()


def test_what_turns_a_png_upright_stays():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    hexed = (b"Exif\0\0" + exif.tobytes()[6:]).hex().encode()
    texts = b"Raw profile type exif\0\nexif\n%8d\n" % (len(hexed) // 2) + hexed
    picture = load_picture(with_chunk(saved(scene(60, 40), "PNG"), b"tEXt", texts))
    assert picture.size == (40, 60)


@pytest.mark.parametrize(
    "name", ["https://example.org/a.png", "HTTP://example.org/a", "data:image/png;base64,AA"]
)
def test_a_url_is_told_as_one(name):
    for source in (name, Path(name)):
        with pytest.raises(InvalidFacts, match=re.escape(f"picture {name} is a URL, expected a file")):
            load_picture(source)


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(InvalidFacts, match="a.png is a Git LFS pointer") as caught:
        load_picture(path)
    assert "git lfs pull" in caught.value.hint


def test_heic_is_read_with_its_package_and_told_without(tmp_path: Path):
    heif = pytest.importorskip("pillow_heif", reason="the extra okedit[heic]")
    heif.from_pillow(scene()).save(tmp_path / "a.heic", quality=-1)
    assert load_picture(tmp_path / "a.heic").size == scene().size


def test_heic_without_its_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1heic" + bytes(40)
    with pytest.raises(InvalidFacts, match="is HEIC, which needs the package pillow-heif") as caught:
        load_picture(data, name="a.heic")
    assert "okedit[heic]" in caught.value.hint


def test_missing_empty_and_folder(tmp_path: Path):
    (tmp_path / "empty.png").write_bytes(b"")
    for name, word in (("gone.png", "not there"), ("empty.png", "empty"), (".", "folder")):
        with pytest.raises(InvalidFacts, match=word):
            load_picture(tmp_path / name)


def test_views_are_deterministic_different_and_of_the_same_size():
    picture = scene(120, 80)
    first, again = views(picture, 8, seed=3), views(picture, 8, seed=3)
    assert [v.tobytes() for v in first] == [v.tobytes() for v in again]
    assert len({v.tobytes() for v in first} | {picture.tobytes()}) == 9
    assert all(v.mode == "RGB" and v.size == picture.size for v in first)
    assert [v.tobytes() for v in first] != [v.tobytes() for v in views(picture, 8, seed=4)]


def test_views_stay_close_to_the_picture():
    """A view moves and relights a picture; it never becomes another one."""
    small = np.asarray(scene(120, 80).resize((12, 8)), float)
    for view in views(scene(120, 80), 12, seed=0, mirror=False, recolour=False):
        other = np.asarray(view.resize((12, 8)), float)
        assert np.corrcoef(small.ravel(), other.ravel())[0, 1] > 0.85


def test_unsafe_views_can_be_left_out():
    plain = scene(120, 80)
    shown = views(plain, 10, 0, mirror=False, recolour=False)
    left_to_right = [np.asarray(view, float)[..., 0].mean(axis=0) for view in shown]
    assert all(row[-20:].mean() > row[:20].mean() for row in left_to_right)
    red = Image.new("RGB", (64, 64), (200, 0, 0))
    for view in views(red, 10, 0, recolour=False):
        r, g, b = view.getpixel((32, 32))
        assert r > 2 * g and r > 2 * b


def test_drawing_on_paper_gets_another_ground_but_keeps_its_own_white():
    drawing = Image.new("RGB", (100, 100), "white")
    drawing.paste((200, 0, 0), (30, 30, 70, 70))
    drawing.paste((255, 255, 255), (45, 45, 55, 55))
    assert has_white_border(drawing) and not has_white_border(scene())
    view = views(drawing, 10, seed=0)[9]  # another ground and a turn
    assert min(view.getpixel((5, 5))) < 235
    assert min(view.getpixel((50, 50))) > 235


MAPS = st.integers(1, 20).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1)
)


@given(MAPS)
def test_what_is_reached_from_beyond_the_edge_is_what_pillow_floods(rows):
    free = np.array(rows)
    framed = ImageOps.expand(Image.fromarray(np.where(free, 255, 0).astype(np.uint8)), 1, 255)
    ImageDraw.floodfill(framed, (0, 0), 77)
    assert np.array_equal(_outside(free), np.asarray(framed)[1:-1, 1:-1] == 77)


def test_views_of_a_tiny_picture():
    assert len(views(Image.new("RGB", (1, 1)), 10, 0)) == 10
