"""Pictures as a model sees them: any usual file in, one upright RGB picture or a complaint by name out."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from okedit_cli.errors import InvalidFacts
from okedit_cli.facts.stand_ins import PULL, is_lfs_pointer, is_url

# Named, so that no file can reach a reader that runs other programs (EPS does).
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
# Pillow's own warning threshold: a quarter of a gigabyte of RGB. A tiny file can claim far more.
MAX_PIXELS = 89_478_485

_PNG = b"\x89PNG\r\n\x1a\n"
Source = Path | str | bytes | BinaryIO
_KNOWN = "PNG, JPEG, WebP, GIF, BMP or TIFF"
_DOWNLOAD = "download it and name the file; ask, edit and eval fetch it with --allow-remote-images."
# of one text or profile in a PNG, and of all of them; Pillow refuses a picture that has more than its own
_TEXT_BYTES, _ALL_TEXT_BYTES = 1_000_000, 16_000_000
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}


def load_picture(source: Source, *, name: str | None = None) -> Image.Image:
    """A file, its bytes or an open file -> RGB, upright, alpha over white, first frame; or InvalidFacts.

    `name` is what messages call a picture that has no path.
    """
    name = name or _name_of(source)
    data = _read(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and the like; size is checked below
            return _decode(data, name)
    except UnidentifiedImageError:
        if _is_heic(data):
            raise InvalidFacts(
                f"picture {name} is HEIC, which needs the package pillow-heif.",
                hint="pip install 'okedit[heic]', or convert it to JPEG first.",
            ) from None
        raise InvalidFacts(
            f"picture {name} is of a kind that okedit does not read, expected {_KNOWN}.",
            hint="convert it to PNG or JPEG first.",
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error) as error:
        raise InvalidFacts(
            f"picture {name} is damaged or cut off: {str(error).strip('.') or type(error).__name__}.",
            hint="open it in a picture viewer; save or download it again.",
        ) from None


def held_bytes(picture: Image.Image) -> int:
    """How much memory an opened picture takes."""
    return picture.width * picture.height * len(picture.getbands())


def picture_sha256(source: Path | str | bytes) -> str:
    """sha256 of the file's bytes, in hex."""
    return hashlib.sha256(_read(source, _name_of(source))).hexdigest()


def _name_of(source: Source) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    named = getattr(source, "name", None)
    return named if isinstance(named, str) and not named.startswith("<") else "from standard input or memory"


def _read(source: Source, name: str) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, Path)):
        if is_url(str(source)):
            name = name if "://" in name else name.replace(":/", "://", 1)  # a Path leaves one slash
            raise InvalidFacts(f"picture {name} is a URL, expected a file.", hint=_DOWNLOAD)
        data = _read_file(Path(source), name)
    else:
        data = source.read()
    if not data:
        raise InvalidFacts(f"picture {name} is empty, expected {_KNOWN}.")
    if is_lfs_pointer(data):
        raise InvalidFacts(f"picture {name} is a Git LFS pointer, not the picture itself.", hint=PULL)
    return data


def _read_file(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise InvalidFacts(f"picture {name} is a folder, expected a file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidFacts(
            f"picture {name} is not there.",
            hint="Paths start from the folder you are in; in a fact file, from that file's own folder.",
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidFacts(
            f"picture {name} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None


def _too_large(name: str) -> InvalidFacts:
    return InvalidFacts(
        f"picture {name} claims more than {MAX_PIXELS // 1_000_000} million pixels.",
        hint="scale it down; models look at far fewer.",
    )


def _decode(data: bytes, name: str) -> Image.Image:
    Image.init()  # an older Pillow lacks some of the formats
    formats = [*FORMATS, *(_heif() if _is_heic(data) else ())]
    data = _without_long_texts(data)
    with Image.open(io.BytesIO(data), formats=[kind for kind in formats if kind in Image.OPEN]) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name)
        picture.load()
        return _flatten(_eight_bit(ImageOps.exif_transpose(picture)))


def _is_heic(data: bytes) -> bool:
    """Whether one of the brands in the file's first box is HEVC's; AVIF has the same box."""
    end = min(int.from_bytes(data[:4], "big"), 256)
    return data[4:8] == b"ftyp" and any(data[at : at + 4] in _HEIC for at in range(8, end, 4))


def _heif() -> tuple[str, ...]:
    """The name of the format that pillow-heif reads; () where it is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return ()
    register_heif_opener()
    return ("HEIF",)


def _without_long_texts(data: bytes) -> bytes:
    """A PNG without the texts and the colour profile that Pillow would refuse it for. They hold nothing that
    a model sees; short texts stay, because one of them may tell which side is up.
    """
    if not data.startswith(_PNG):
        return data
    kept, place, room = [_PNG], len(_PNG), _ALL_TEXT_BYTES
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = data[place : place + length + 12]
        size = _text_size(kind, chunk[8 : 8 + length])
        if size <= min(_TEXT_BYTES, room):
            kept.append(chunk)
            room -= size
        place += len(chunk)
    return data if len(kept) == 1 else b"".join(kept) + data[place:]


def _text_size(kind: bytes, content: bytes) -> int:
    """How long a chunk's text or profile is, told as too long as soon as it is; 0 of another chunk."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
        return 0
    _, _, rest = content.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and not rest.startswith(b"\1")):
        return len(content)
    # behind the keyword: how it is packed, and in an iTXt a flag before and two more texts behind that
    packed = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _TEXT_BYTES + 1))
    except zlib.error:
        return _TEXT_BYTES + 1  # of no use, and the pixels may be whole


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Pictures of 16 or 32 bits a pixel -> L, 0..255; others as they are."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64), nan=0.0, posinf=255.0, neginf=0.0)
    top = float(values.max())
    if picture.mode.startswith("I"):
        # 16 bits by the file's kind; a 32-bit one by what it holds
        full = 65535.0 if picture.mode != "I" or 255 < top <= 65535 else max(255.0, top)
    else:
        full = 1.0 if top <= 1 else 255.0 if top <= 255 else top
    return Image.fromarray(np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8))


def _flatten(picture: Image.Image) -> Image.Image:
    """Any 8-bit mode -> RGB, see-through parts over white."""
    if picture.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in picture.info:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")
