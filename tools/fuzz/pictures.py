"""Broken and unusual pictures: cut off, bombs, wrong endings, every mode, animated, turned, of one pixel."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image

from okedit_cli.facts.pictures import MAX_PIXELS, load_picture

SAVED = (
    ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")), ("JPEG", ("L", "RGB", "CMYK", "YCbCr")),
    ("GIF", ("1", "L", "P", "RGB", "RGBA")), ("WEBP", ("RGB", "RGBA", "L")), ("PPM", ("L", "RGB", "I")),
    ("BMP", ("1", "L", "P", "RGB", "RGBA")), ("TGA", ("L", "RGB", "RGBA")), ("ICO", ("RGBA",)),
    ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "I", "F")),
)  # fmt: skip
ENDINGS = (".png", ".jpg", ".gif", ".webp", ".txt", ".exe", "")
SIZES = ((1, 1), (1, 40), (40, 1), (7, 5), (64, 48))


class Cases:
    """Pictures made anew for each case."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "none"

    def case(self, chance: random.Random) -> str:
        """Write the next picture; returns what it is."""
        kinds = (
            self._whole,
            self._cut,
            self._bytes,
            self._bytes,
            self._bomb,
            self._turned,
            self._animated,
            self._other,
        )
        kind = chance.choice(kinds)
        self.path = self.folder / f"case{chance.choice(ENDINGS)}"
        self.path.write_bytes(kind(chance))
        return kind.__name__[1:]

    def check(self) -> None:
        """Read it; what comes out is RGB of a size that memory holds."""
        picture = load_picture(self.path)
        if picture.mode != "RGB" or not 0 < picture.width * picture.height <= MAX_PIXELS:
            raise AssertionError(f"{picture.mode} of {picture.size}")
        picture.tobytes()

    def _whole(self, chance: random.Random) -> bytes:
        kind, modes = chance.choice(SAVED)
        return _saved(chance, kind, chance.choice(modes))

    def _cut(self, chance: random.Random) -> bytes:
        data = self._whole(chance)
        return data[: chance.randrange(len(data))]

    def _bytes(self, chance: random.Random) -> bytes:
        data = bytearray(self._whole(chance))
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(min(len(data), chance.choice([64, len(data)])))
            what = chance.randrange(3)
            if what == 0:
                data[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            elif what == 1:
                data[place : place + 4] = struct.pack(
                    chance.choice("<>") + "I", chance.choice([0, 2**31, 2**32 - 1, 65536])
                )
            else:
                data[place:place] = data[place : place + chance.randint(1, 200)]
        return bytes(data)

    def _bomb(self, chance: random.Random) -> bytes:
        """A few bytes that claim very many pixels."""
        width, height = chance.choice(
            [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (89_478_486, 1), (1, 2**31 - 1), (0, 5)]
        )
        what = chance.randrange(4)
        if what == 0:
            rows = zlib.compress(bytes(chance.choice([10, 3_000_000])))
            header = struct.pack(">IIBBBBB", width, height, 8, chance.choice([0, 2, 6]), 0, 0, 0)
            text = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(chance.choice([1, 80_000_000]))))
            return (
                b"\x89PNG\r\n\x1a\n"
                + _chunk(b"IHDR", header)
                + text
                + _chunk(b"IDAT", rows)
                + _chunk(b"IEND", b"")
            )
        small = (min(width, 65535), min(height, 65535))
        if what == 1:
            data = bytearray(_saved(chance, "GIF", "P"))
            data[6:10] = struct.pack("<HH", *small)
            return bytes(data)
        if what == 2:
            data = bytearray(_saved(chance, "BMP", "RGB"))
            data[18:26] = struct.pack("<ii", width, chance.choice([height, -height]))
            return bytes(data)
        return b"P6\n%d %d\n255\n" % (width, height) + bytes(100)

    def _turned(self, chance: random.Random) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = chance.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 65535])
        if chance.random() < 0.5:
            exif[chance.choice([0x010E, 0x0132])] = "x" * 100
        out = io.BytesIO()
        picture = _picture(chance, "RGB")
        picture.save(out, chance.choice(["JPEG", "PNG", "WEBP", "TIFF"]), exif=exif)
        data = bytearray(out.getvalue())
        for start in (data.find(b"Exif"), data.find(b"II*\0"), data.find(b"MM\0*")):
            if start >= 0 and chance.random() < 0.5:  # the orientation's own bytes, broken
                place = start + chance.randrange(30)
                data[place : place + 1] = chance.randbytes(1)
        return bytes(data)

    def _animated(self, chance: random.Random) -> bytes:
        size = chance.choice(SIZES)
        frames = [_picture(chance, "RGBA", size) for _ in range(chance.choice([2, 5, 60]))]
        out = io.BytesIO()
        frames[0].save(
            out, chance.choice(["GIF", "WEBP", "PNG", "TIFF"]), save_all=True, append_images=frames[1:]
        )
        data = out.getvalue()
        return data if chance.random() < 0.6 else data[: chance.randrange(len(data))]

    def _other(self, chance: random.Random) -> bytes:
        """What is no picture, or one of a kind that could run a program."""
        return chance.choice([
            b"", b"\0", chance.randbytes(500), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            b"%PDF-1.7\n",
            b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBPVP8 ",
            b"II*\0\x08\0\0\0\xff\xff",
            b"II*\0\x08\0\0\0\x01\0" + b"\0\x01\x04\0\x01\0\0\0\xff\xff\xff\xff" + b"\x08\0\0\0",
            b"\0\0\x01\0\xff\xff" + bytes(40), b"PK\x03\x04" + bytes(60), b"BM" + b"\xff" * 60,
            b"P3\n-1 -1\n255\n",
        ])  # fmt: skip


def _picture(chance: random.Random, mode: str, size: tuple[int, int] | None = None) -> Image.Image:
    size = size or chance.choice(SIZES)
    picture = Image.frombytes("RGB", size, chance.randbytes(3 * size[0] * size[1]))
    if mode == "LAB":
        return Image.frombytes("LAB", size, picture.tobytes())
    if mode in ("I;16", "I", "F"):
        return picture.convert("L").convert("I" if mode != "F" else "F").convert(mode)
    return picture.convert("RGBA").convert(mode) if mode in ("RGBA",) else picture.convert(mode)


def _saved(chance: random.Random, kind: str, mode: str) -> bytes:
    out = io.BytesIO()
    options = {"progressive": chance.random() < 0.5} if kind == "JPEG" else {}
    picture = _picture(chance, mode)
    try:
        picture.save(out, kind, **options)
    except OSError:  # a mode that this Pillow does not write in this kind
        picture.convert("RGB").save(out, kind)
    return out.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
