"""image_url: data URLs, the web where it is allowed, and no file or private address ever."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib

import pytest

pytest.importorskip("fastapi", reason="okedit[serve] is not installed")

import tiny  # noqa: E402
from picture_server import png, serving  # noqa: E402

from okedit_cli.serve.errors import ApiError  # noqa: E402
from okedit_cli.serve.limits import Limits  # noqa: E402
from okedit_cli.serve.pictures import PictureReader, remote_pictures  # noqa: E402


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def refused(reader: PictureReader, url, status: int = 400) -> str:
    with pytest.raises(ApiError) as told:
        reader(url, "here")
    assert told.value.status == status and told.value.param == "here"
    assert "\n" not in told.value.message and told.value.message.endswith(".")
    return told.value.message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_data_urls(kind):
    out = io.BytesIO()
    tiny.picture().save(out, kind)
    found = PictureReader()(data_url(out.getvalue(), f"image/{kind.lower()}"), "here")
    assert found.size == (40, 32) and found.mode == "RGB"


def test_a_data_url_that_lies_about_its_type():
    assert "image/jpeg" in refused(PictureReader(), data_url(png(), "image/jpeg"))
    refused(PictureReader(), data_url(png(), "text/html"))
    refused(PictureReader(), data_url(b"<svg/>", "image/svg+xml"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "/etc/passwd",
        "../../../etc/passwd",
        "file://localhost/etc/passwd",
        "ftp://example.com/a.png",
        "http://example.com/a.png",
        "data:image/png,abc",
        "data:image/png;base64,***",
        "data:image/png;base64,",
        "data:",
        "",
        "data:image/\ud800;base64,AAAA",
        "https://example.com/\ud800.png",
        "\ud800",
        None,
        3,
    ],
)
def test_what_is_no_picture_of_the_request(url):
    assert "passwd" not in refused(PictureReader(), url)


def test_an_error_can_be_written_whatever_it_names():
    body = ApiError(400, "There is no \ud800.", param="\ud800").body()
    assert json.dumps(body, ensure_ascii=False).encode()


def test_broken_pictures():
    refused(PictureReader(), data_url(png()[:60]))
    refused(PictureReader(), data_url(b"no picture"))


def test_large_pictures_are_refused():
    refused(PictureReader(Limits(picture=100)), data_url(png()), 413)
    refused(PictureReader(Limits(pixels=100)), data_url(png()), 413)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ApiError) as told:
        PictureReader()(data_url(bomb), "here")
    assert told.value.status == 413


def test_pictures_of_one_request_are_bounded_together():
    url, size = data_url(png()), len(png())
    for limits in (Limits(all_bytes=2 * size), Limits(pixels=1280, all_pixels=2 * 1280)):
        for _ in range(2):  # each request anew
            read = PictureReader(limits).of_request()
            assert [read(url, "here").size for _ in range(2)] == [(40, 32)] * 2
            with pytest.raises(ApiError) as told:
                read(url, "here")
            assert told.value.status == 413


def test_pictures_of_the_web():
    with serving() as (address, asked):
        public = PictureReader(remote=remote_pictures())
        for url in (
            f"{address}/a.png",
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "http://localhost/",
        ):
            message = refused(public, url)
            assert "127.0.0.1" not in message.replace(address, "") and "169.254" not in message
        assert not asked  # not even connected to
        trusting = PictureReader(remote=remote_pictures(("127.0.0.1",)))
        assert trusting(f"{address}/a.png", "here").size == (40, 32)
        other = address.replace("127.0.0.1", "localhost")
        refused(trusting, f"{address}/to/{other}/a.png")  # by a redirect to a host that nobody named
        refused(trusting, f"{address}/to/file:///etc/passwd")
        refused(trusting, f"{address}/gone")
        refused(trusting, f"{address}/page")
        small = PictureReader(remote=remote_pictures(("127.0.0.1",), Limits(picture=50_000)))
        refused(small, f"{address}/long", 413)
