"""The things okedit-mini learns to name: emoji names, ImageNet classes, CIFAR-10 classes, stamps.

A thing has a name (lower case, no article) and a kind ("mammal", "vehicle"). Names are the vocabulary of the
concept head; kinds answer "what kind of thing is this?".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

# emojibase subgroup -> kind, for the subgroups that show one nameable thing.
KINDS = {
    "mammals": "mammal",
    "birds": "bird",
    "amphibians": "amphibian",
    "reptiles": "reptile",
    "marine life": "sea creature",
    "bugs": "bug",
    "flowers": "flower",
    "other plants": "plant",
    "fruit": "fruit",
    "vegetables": "vegetable",
    "cooked / prepared": "food",
    "asian": "food",
    "sweets & candy": "sweet",
    "drink": "drink",
    "dishware": "dish",
    "ground transportation": "vehicle",
    "water transportation": "boat",
    "air transportation": "aircraft",
    "buildings": "building",
    "religious buildings": "building",
    "geographic locations": "place",
    "other places": "place",
    "globes & maps": "map",
    "weather": "weather",
    "hotel": "object",
    "events & holidays": "celebration",
    "award medals": "award",
    "sports": "sport",
    "games & hobbies": "game",
    "arts & crafts": "art",
    "clothing": "clothing",
    "sound": "object",
    "music": "music",
    "musical instruments": "musical instrument",
    "phone": "device",
    "computer": "device",
    "light, film & video": "device",
    "books & paper": "paper",
    "money": "money",
    "mail": "mail",
    "writing": "writing tool",
    "office supplies": "office supply",
    "lock & keys": "lock or key",
    "tools": "tool",
    "science equipment": "science equipment",
    "medical": "medical item",
    "household items": "household item",
    "other objects": "object",
    "country flags": "flag",
    "subdivision flags": "flag",
    "other flags": "flag",
    "body parts": "body part",
    "costumed & creatures": "creature",
    "fantasy": "creature",
    "roles & careers": "person",
}
SKIP = re.compile(
    r"button|^(wo)?man\b|: (wo)?man|^keycap|o.clock|thirty$|skin tone|facing right|in motion|"
    r"^person (?!.*(?:role))|couple|kiss|family",
    re.I,
)
WORDING = {  # CLDR label -> everyday name
    "airplane": "airplane",
    "automobile": "car",
    "oncoming automobile": "oncoming car",
    "pig face": "pig face",
    "hot beverage": "coffee",
    "bactrian camel": "two-hump camel",
    "two-hump camel": "two-hump camel",
}


@dataclass(frozen=True)
class Thing:
    """One nameable thing of the emoji sets: code point key (upper-case hex, no FE0F), name, kind."""

    key: str
    name: str
    kind: str
    label: str
    shortcode: str


def normal_key(hexcode: str) -> str:
    """Code points as upper-case hex joined by '-', without variation selectors and leading zeros."""
    parts = [p.lstrip("0") or "0" for p in hexcode.upper().replace("_", "-").split("-")]
    return "-".join(p for p in parts if p != "FE0F")


def name_of(label: str) -> str:
    """CLDR label -> name as a person would say it, lower case."""
    label = label.replace("’", "'").replace("“", "").replace("”", "")
    match = re.fullmatch(r"flag: (.*)", label)
    if match:
        return "flag of " + match.group(1)
    label = label.lower()
    return WORDING.get(label, label)


def emoji_things(emojibase: Path) -> list[Thing]:
    """All single nameable things of emojibase-data (its folder), in emoji order, names unique."""
    data = json.loads((emojibase / "en/data.json").read_text())
    groups = json.loads((emojibase / "en/messages.json").read_text())["subgroups"]
    codes = json.loads((emojibase / "en/shortcodes/emojibase.json").read_text())
    names = {g["order"]: g["message"] for g in groups}
    things, seen = [], set()
    for row in data:
        kind = KINDS.get(names.get(row.get("subgroup"), ""))
        label = row["label"]
        if kind is None or (SKIP.search(label) and not label.startswith("flag:")):
            continue
        name = name_of(label)
        if name in seen:
            continue
        seen.add(name)
        code = codes.get(row["hexcode"], "")
        code = code[0] if isinstance(code, list) else code
        things.append(Thing(normal_key(row["hexcode"]), name, kind, label, code))
    return things
