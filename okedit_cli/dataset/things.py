"""A thing with a name and pictures: what every case of the data set is about; and the drawings among them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from okedit_cli.errors import SetupError

Art = bytes  # a picture file's bytes: PNG, WebP or flat SVG


@dataclass(frozen=True)
class Thing:
    """`accepted`: names that count as right, plain one first. `near`: the group whose members are near."""

    key: str  # unique: "drawing/1f419", "flag/no", "stamp/animals/birds/owl", "photograph/17"
    kind: str  # drawing, flag, stamp, photograph
    accepted: tuple[str, ...]
    sort: str
    noun: str
    fine: tuple[str, ...]
    near: str
    art: Art
    others: dict[str, Art] = field(default_factory=dict)  # artist, or file name -> picture of the same thing
    medium: str = ""  # drawing, photograph; empty where nobody can be sure
    land: str = ""  # flags: the country's two letters

    @property
    def name(self) -> str:
        return self.accepted[0]

    @property
    def words(self) -> frozenset[str]:
        """All accepted names, folded, to tell whether two things could be called the same."""
        return frozenset(map(fold, self.accepted))


def fold(name: str) -> str:
    """A name as it is compared: lower case, hyphens as spaces, no article."""
    text = " ".join(name.casefold().replace("-", " ").replace("’", "'").split())
    return text.removeprefix("the ").removeprefix("a ").removeprefix("an ")


@cache
def stock(name: str) -> dict[str, Any]:
    """One of the room's own YAML files."""
    return yaml.load(
        (Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"),
        Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )


def code(hexcode: str) -> str:
    """Code points as lower-case hex joined by "-", without variation selectors and leading zeros."""
    parts = (part.lstrip("0") for part in hexcode.lower().replace("_", "-").split("-"))
    return "-".join(part for part in parts if part != "fe0f")


def by_code(members: dict[str, bytes]) -> dict[str, Art]:
    """Pictures of an emoji package by code(); where two files have one code, the first by name."""
    found: dict[str, Art] = {}
    for name in sorted(members):
        found.setdefault(code(Path(name).stem), members[name])
    return found


def rows_of(members: dict[str, bytes], name: str) -> Any:
    """A JSON member. SetupError: not there, or no JSON."""
    try:
        return json.loads(members[name])
    except KeyError:
        raise SetupError(f"The package has no {name}.", hint="Is it the version that okedit names?") from None
    except ValueError as error:
        raise SetupError(f"{name} of the package is not JSON: {error}.") from None


def drawings(names: dict[str, bytes], art: dict[str, Art], others: dict[str, dict[str, Art]]) -> list[Thing]:
    """Things of emojibase (its en/data.json and en/messages.json in `names`) that `art` has, in its order."""
    words = stock("things")
    skip, given = set(words["skip"]), words["names"]
    groups = {row["order"]: row["message"] for row in rows_of(names, "en/messages.json")["subgroups"]}
    found = []
    for row in rows_of(names, "en/data.json"):
        label, near = row["label"], groups.get(row.get("subgroup"), "")
        key = code(row["hexcode"])
        about = words["about"].get(label) or words["subgroups"].get(near)
        if about is None or label in skip or key not in art or _clock_face(label):
            continue
        accepted = tuple(given.get(label) or [_everyday(label)])
        found.append(
            Thing(
                key=f"drawing/{key}",
                kind="drawing",
                accepted=accepted,
                sort=about["sort"],
                noun=about["noun"],
                fine=tuple(words["fine"].get(accepted[0]) or about["fine"]),
                near=near,
                art=art[key],
                others={artist: pictures[key] for artist, pictures in others.items() if key in pictures},
                medium="drawing",
            )
        )
    return found


def _clock_face(label: str) -> bool:
    return "o’clock" in label or label.endswith("-thirty")


def _everyday(label: str) -> str:
    """A label of the Unicode names as people write it."""
    text = label.replace("’", "'").replace("“", "").replace("”", "")
    proper = ("Christmas", "Japanese")
    return text if text.startswith(proper) else text.lower()
