"""Pictures as a model sees them: any usual file in, one upright RGB picture or a complaint by name out."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InvalidFacts

# Named, so that no file can reach a reader that runs other programs (EPS does).
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
# Pillow's own warning threshold: a quarter of a gigabyte of RGB. A tiny file can claim far more.
MAX_PIXELS = 89_478_485

Source = Path | str | bytes | BinaryIO
_KNOWN = "PNG, JPEG, WebP, GIF, BMP or TIFF"


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
        data = _read_file(Path(source), name)
    else:
        data = source.read()
    if not data:
        raise InvalidFacts(f"picture {name} is empty, expected {_KNOWN}.")
    return data


def _read_file(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise InvalidFacts(f"picture {name} is a folder, expected a file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidFacts(
            f"picture {name} is not there.", hint="paths in a fact file start from the file's own folder."
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
    with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN]) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name)
        picture.load()
        return _flatten(_eight_bit(ImageOps.exif_transpose(picture)))


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
