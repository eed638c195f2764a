"""Pictures of requests: `image_url`, as a data URL or, where the server allows it, fetched from the web.

No URL reads a file of this machine. What is fetched comes from public addresses alone, also behind a redirect
(okedit_cli/facts/remote.py), and a client is not told why an address is not one.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import InvalidFacts
from okedit_cli.serve.errors import ApiError, bad, check_utf8
from okedit_cli.serve.limits import Limits, in_megabytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.facts.remote import Remote

_DATA = "data:"
_KINDS = {"jpg": "jpeg", "pjpeg": "jpeg", "x-png": "png", "x-ms-bmp": "bmp", "x-bmp": "bmp", "mpo": "jpeg",
          "vnd.microsoft.icon": "ico", "x-icon": "ico", "jpeg2000": "jp2", "x-tga": "tga", "ppm": "ppm",
          "x-portable-pixmap": "ppm", "heic": "heif"}  # fmt: skip


def remote_pictures(hosts: tuple[str, ...] = (), limits: Limits = Limits()) -> Remote:
    """What fetches pictures by http and https for a server; nothing that it reads is kept on disk."""
    from pathlib import Path

    from okedit_cli.facts.remote import Remote

    return Remote(Path(), hosts, most=limits.picture)


class PictureReader:
    """Reads the pictures that requests name; `remote` fetches those of the web, None: they are refused."""

    def __init__(self, limits: Limits = Limits(), remote: Remote | None = None) -> None:
        self.limits, self.remote = limits, remote

    def __call__(self, url: Any, param: str) -> Image:
        """The picture of an `image_url`, RGB and upright; `param` is where the request names it.

        ApiError 400: no such URL is read, or what it gives is no picture; 413: it is too large.
        """
        return self._opened(*self._data(url, param), param)

    def of_request(self) -> Callable[[Any, str], Image]:
        """What reads the pictures of one request; ApiError 413 also where they are too large together."""
        size = pixels = 0

        def read(url: Any, param: str) -> Image:
            nonlocal size, pixels
            data, kind = self._data(url, param)
            size += len(data)
            if size > self.limits.all_bytes:
                most = in_megabytes(self.limits.all_bytes)
                raise ApiError(413, f"The pictures up to {param} are larger than {most}.", param=param)
            pixels += _looked_at(data)[1]
            if pixels > (most := self.limits.all_pixels):
                raise ApiError(
                    413, f"The pictures up to {param} have more than {most:,} pixels.", param=param
                )
            return self._opened(data, kind, param)

        return read

    def _data(self, url: Any, param: str) -> tuple[bytes, str | None]:
        """Bytes of a picture's file, and its kind where the URL says one."""
        if not isinstance(url, str):
            raise bad(f"{param} is not a string, expected a URL.", param=param)
        if not url.isascii():
            check_utf8(url, param)
        scheme = url.split(":", 1)[0].strip().lower()[:16]
        if url[: len(_DATA)].lower() == _DATA:
            return _of_data(url, param, self.limits.picture)
        if scheme not in ("http", "https"):
            raise bad(
                f"{param} is no data URL, and nothing else is read from this server.",
                param=param,
                code="invalid_image_url",
                hint="Send the picture as data:image/png;base64,...",
            )
        if self.remote is None:
            raise bad(
                f"{param} is a URL of the web, which this server does not fetch.",
                param=param,
                code="invalid_image_url",
                hint="Send the picture as a data URL; --allow-remote-images lets the server fetch it.",
            )
        try:
            return self.remote.read(url), None
        except InvalidFacts as error:
            raise _not_fetched(error, param) from None

    def _opened(self, data: bytes, kind: str | None, param: str) -> Image:
        from okedit_cli.facts.pictures import load_picture

        if not data:
            raise bad(f"{param} holds no bytes, expected a picture.", param=param, code="invalid_image")
        found, pixels = _looked_at(data)
        if pixels > self.limits.pixels:
            raise ApiError(
                413,
                f"The picture at {param} has {pixels:,} pixels, more than the {self.limits.pixels:,} that"
                " this server takes.",
                param=param,
            )
        if kind is not None and found is not None and kind != found:
            raise bad(
                f"{param} says that it is image/{kind} and holds image/{found}.",
                param=param,
                code="invalid_image",
            )
        try:
            return load_picture(data, name=f"at {param}")
        except InvalidFacts as error:
            raise bad(f"The {error.message}", param=param, code="invalid_image") from None


def _of_data(url: str, param: str, most: int) -> tuple[bytes, str]:
    """Bytes and kind ("png") of a data URL."""
    head, comma, body = url[len(_DATA) :].partition(",")
    media, *settings = [part.strip().lower() for part in head[:200].split(";")]
    if not comma or settings[-1:] != ["base64"]:
        raise bad(
            f"{param} is a data URL without ';base64,'.", param=param, code="invalid_image_url",
            hint="Send the picture as data:image/png;base64,...",
        )  # fmt: skip
    family, _, kind = media.partition("/")
    if family != "image" or not kind:
        raise bad(
            f"{param} says that it is {media[:40] or 'text/plain'!r}, expected image/png or another picture.",
            param=param,
            code="invalid_image",
        )
    if len(body) > most * 4 // 3 + 4:
        raise ApiError(
            413, f"The picture at {param} is larger than {in_megabytes(most)}.", param=param
        )  # fmt: skip
    try:
        return base64.b64decode(body, validate=True), _KINDS.get(kind, kind)
    except (binascii.Error, ValueError):
        raise bad(f"{param} is not base64 behind its comma.", param=param, code="invalid_image_url") from None


def _looked_at(data: bytes) -> tuple[str | None, int]:
    """Kind and number of pixels by the header of a picture's file; (None, 0) where that tells neither."""
    from PIL import Image

    from okedit_cli.facts.pictures import FORMATS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            formats = [kind for kind in FORMATS if kind in Image.OPEN or Image.init()]
            with Image.open(io.BytesIO(data), formats=formats) as found:
                kind = (found.get_format_mimetype() or f"/{found.format}").partition("/")[2].lower()
                return _KINDS.get(kind, kind), found.width * found.height
    except Image.DecompressionBombError:
        raise ApiError(413, "A picture claims more pixels than any model looks at.") from None
    except Exception:  # whatever a broken file makes of a reader; load_picture tells it in words
        return None, 0


def _not_fetched(error: InvalidFacts, param: str) -> ApiError:
    """A picture of the web that did not come; of addresses behind the server nothing is told."""
    if "is larger than" in error.message:
        return ApiError(413, f"The picture at {param} is too large.", param=param)
    hidden = ("public address" in error.message) or ("cannot be fetched" in error.message)
    why = "cannot be fetched from a public address." if hidden else ""
    for words in ("did not come within", "leads on more than", "is fetched by http", "holds a user name",
                  "is no URL", "holds signs", "broke off"):  # fmt: skip
        if not why and words in error.message:
            why = error.message[error.message.index(words) :]
    why = why or "cannot be fetched."
    return bad(f"The picture at {param} {why}", param=param, code="invalid_image_url")
