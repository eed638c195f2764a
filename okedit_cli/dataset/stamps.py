"""Tux Paint's stamps as things: small pictures, many of them photographs, each with a description."""

from __future__ import annotations

import re
from typing import Any

from okedit_cli.dataset.things import Thing, stock

ROOT = "usr/share/tuxpaint/stamps/"
_NAME = re.compile(r"(?:an?|the|some) ([a-z' -]+)[.!]?", re.IGNORECASE)
_PAIR = re.compile(r"pair of ", re.IGNORECASE)
_LONGEST = 3  # words of a name


def wanted(name: str) -> bool:
    """Whether a member of the package is a stamp's picture or description; symbols are none."""
    return (
        name.startswith(ROOT)
        and name.endswith((".png", ".txt"))
        and not name.startswith((ROOT + "symbols/", ROOT + "people/body_parts/"))
    )


def stamps(members: dict[str, bytes]) -> list[Thing]:
    """Stamps with a plain name, in the order of their paths."""
    words = stock("stamps")
    found = []
    for member in sorted(members):
        path = member.removeprefix(ROOT).removesuffix(".png")
        text = members.get(f"{ROOT}{path}.txt")
        about = words["sorts"].get(path) or _folder(path, words["folders"])
        if not member.endswith(".png") or text is None or about is None or path in words["skip"]:
            continue
        accepted = tuple(words["names"].get(path) or _described(text))
        if not accepted:
            continue
        found.append(
            Thing(
                key=f"stamp/{path}",
                kind="stamp",
                accepted=accepted,
                sort=about["sort"],
                noun=about["noun"],
                fine=tuple(words["fine"].get(accepted[0]) or about["fine"]),
                near=path.rpartition("/")[0].removesuffix("/cartoon"),
                art=members[member],
                medium="drawing" if "/cartoon/" in path else "",
            )
        )
    return found


def _folder(path: str, folders: dict[str, Any]) -> dict[str, Any] | None:
    """What the longest folder that holds the path says."""
    fitting = [name for name in folders if path.startswith(name + "/")]
    return folders[max(fitting, key=len)] if fitting else None


def _described(text: bytes) -> tuple[str, ...]:
    """The name in a description such as "A frog."; () where it says more than a name."""
    lines = text.decode("utf-8", "replace").splitlines()
    match = _NAME.fullmatch(lines[0].strip()) if lines else None
    name = _PAIR.sub("", match[1]).strip() if match else ""
    if not name or len(name.split()) > _LONGEST:
        return ()
    return (name,) if name.split()[0] in ("Christmas", "American") else (name.lower(),)
