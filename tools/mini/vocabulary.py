"""Names and kinds of ImageNet classes and stamps: vocabulary.py WORK STAMPS SYNSETS LEMMAS WORDNET -> JSON
files.

ImageNet names are the class's everyday lemma; kinds come from WordNet's hypernyms. Every dog breed is kept by
name with the kind "dog", every domestic cat is a "cat".
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from pathlib import Path

# WordNet hypernym (first lemma) -> kind; the first match on the way up wins.
HYPERNYM_KINDS = {
    "dog": "dog",
    "domestic_cat": "mammal",
    "mammal": "mammal",
    "bird": "bird",
    "fish": "fish",
    "amphibian": "amphibian",
    "reptile": "reptile",
    "arthropod": "bug",
    "mollusk": "sea creature",
    "echinoderm": "sea creature",
    "coelenterate": "sea creature",
    "invertebrate": "sea creature",
    "aircraft": "aircraft",
    "watercraft": "boat",
    "craft": "vehicle",
    "public_transport": "vehicle",
    "conveyance": "vehicle",
    "wheeled_vehicle": "vehicle",
    "vehicle": "vehicle",
    "musical_instrument": "musical instrument",
    "garment": "clothing",
    "clothing": "clothing",
    "footwear": "clothing",
    "headdress": "clothing",
    "furniture": "furniture",
    "edible_fruit": "fruit",
    "vegetable": "vegetable",
    "beverage": "drink",
    "dessert": "sweet",
    "food": "food",
    "foodstuff": "food",
    "nutriment": "food",
    "bread": "food",
    "fungus": "plant",
    "flower": "flower",
    "plant": "plant",
    "geological_formation": "place",
    "body_of_water": "place",
    "building": "building",
    "structure": "building",
    "tool": "tool",
    "weapon": "weapon",
    "kitchen_utensil": "household item",
    "tableware": "dish",
    "container": "container",
    "home_appliance": "household item",
    "appliance": "household item",
    "game_equipment": "sport",
    "sports_equipment": "sport",
    "ball": "sport",
    "computer": "device",
    "electronic_equipment": "device",
    "timepiece": "device",
    "device": "device",
    "instrumentality": "object",
    "person": "person",
    "fabric": "object",
    "artifact": "object",
}
# Where the first lemma is not what people say.
EVERYDAY = {
    "Egyptian cat": "cat",
    "tabby": "cat",
    "tiger cat": "cat",
    "Persian cat": "cat",
    "Siamese cat": "cat",
    "airliner": "airplane",
    "warplane": "military plane",
    "sports car": "sports car",
    "moving van": "moving van",
    "trailer truck": "truck",
    "garbage truck": "garbage truck",
    "pickup": "pickup truck",
    "cock": "rooster",
    "drake": "duck",
    "ram": "sheep",
    "bighorn": "bighorn sheep",
    "hog": "pig",
    "sorrel": "horse",
    "common iguana": "iguana",
    "tusker": "elephant",
    "African elephant": "elephant",
    "Indian elephant": "elephant",
    "espresso": "coffee",
    "cup": "cup",
    "coffee mug": "coffee mug",
    "notebook": "laptop",
    "desktop computer": "computer",
    "cellular telephone": "mobile phone",
    "dial telephone": "telephone",
    "screen": "monitor",
    "web site": "website",
    "crane": "crane",
    "malamute": "Alaskan malamute",
    "corn": "corn",
    "lorikeet": "parrot",
    "macaw": "parrot",
    "African grey": "parrot",
    "bee": "honeybee",
    "king penguin": "penguin",
    "brown bear": "brown bear",
    "ice bear": "polar bear",
    "giant panda": "panda",
    "lesser panda": "red panda",
    "daisy": "daisy",
    "loggerhead": "turtle",
    "leatherback turtle": "turtle",
    "mud turtle": "turtle",
    "terrapin": "turtle",
    "box turtle": "turtle",
    "space shuttle": "space shuttle",
    "ambulance": "ambulance",
    "mountain bike": "bicycle",
    "bicycle-built-for-two": "tandem bicycle",
    "motor scooter": "motor scooter",
    "ballpoint": "pen",
    "fountain pen": "fountain pen",
    "teddy": "teddy bear",
    "Christmas stocking": "stocking",
}
# A stamp's folder says which of its noun's senses is meant (a whale is first "a very large person").
FOLDER_KINDS = {
    "animals": {"dog", "mammal", "bird", "fish", "amphibian", "reptile", "bug", "sea creature"},
    "food": {"fruit", "vegetable", "food", "drink", "sweet", "plant"},
    "vehicles": {"vehicle", "boat", "aircraft"},
    "clothes": {"clothing"},
    "plants": {"plant", "flower"},
}


def wordnet(path: Path) -> tuple[dict[str, tuple[list[str], list[str]]], dict[str, list[str]]]:
    """data.noun -> {offset: (lemmas, hypernym offsets)} and {lemma: its noun senses}."""
    nodes: dict[str, tuple[list[str], list[str]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith(" "):
            continue
        parts = line.split(" | ")[0].split()
        count = int(parts[3], 16)
        lemmas = parts[4 : 4 + 2 * count : 2]
        nodes[parts[0]] = (lemmas, [parts[i + 1] for i, p in enumerate(parts) if p in ("@", "@i") and i > 3])
    index: dict[str, list[str]] = {}
    for line in (path.parent / "index.noun").read_text().splitlines():
        if not line.startswith(" "):
            parts = line.split()
            index[parts[0]] = parts[6 + int(parts[3]) :]
    return nodes, index


def kind_of(offset: str, nodes: dict[str, tuple[list[str], list[str]]]) -> str:
    """Nearest ancestor of a synset that names one of our kinds, breadth first; 'object' when none does."""
    frontier, seen = [offset], set()
    while frontier:
        for node in frontier:
            for lemma in nodes[node][0]:
                if lemma.lower() in HYPERNYM_KINDS:
                    return HYPERNYM_KINDS[lemma.lower()]
        seen |= set(frontier)
        frontier = [h for node in frontier for h in nodes[node][1] if h not in seen and h in nodes]
    return "object"


def stamp_name(text: str) -> str:
    """'A red kangaroo.' -> 'red kangaroo'; '' when the description is a sentence rather than a name."""
    line = re.split(r"[.!(,;:]", text.splitlines()[0])[0].strip().lower()
    line = re.sub(r"^(a|an|the|some|two|three)\s+", "", line)
    return line if 0 < len(line.split()) <= 3 else ""


def main() -> None:
    """Write imagenet.json ([name, kind] a class) and stamps/index.jsonl (with a held-out fifth by name)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("synsets", type=Path)
    parser.add_argument("lemmas", type=Path)
    parser.add_argument("wordnet", type=Path)
    args = parser.parse_args()
    nodes, index = wordnet(args.wordnet)
    lemmas = dict(line.split("\t") for line in args.lemmas.read_text().splitlines())
    table = []
    for synset in args.synsets.read_text().split():
        name = lemmas[synset].split(",")[0].strip()
        table.append([EVERYDAY.get(name, name).lower(), kind_of(synset[1:], nodes)])
    (args.work / "imagenet.json").write_text(json.dumps(table))
    rows = []
    for text in sorted(args.stamps.rglob("*.txt")):
        picture = text.with_suffix(".png")
        if "symbols" in text.parts or not picture.exists():
            continue
        name = stamp_name(text.read_text(errors="replace"))
        if not name:
            continue
        noun = name.replace(" ", "_") if name.replace(" ", "_") in index else name.split()[-1]
        noun = noun if noun in index else noun.rstrip("s")
        kinds = [kind_of(sense, nodes) for sense in index.get(noun, [])]
        wanted = next((FOLDER_KINDS[part] for part in text.parts if part in FOLDER_KINDS), set())
        kinds = [k for k in kinds if k in wanted] + [k for k in kinds if k not in ("object", "person")]
        kind = kinds[0] if kinds else "object"
        split = "stamp-test" if zlib.crc32(name.encode()) % 5 == 0 else "stamp"
        rows.append(
            {"path": str(picture.relative_to(args.stamps)), "artist": split, "name": name, "kind": kind}
        )
    (args.stamps / "index.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    print(
        len(table),
        "classes;",
        len(rows),
        "stamps,",
        sum(r["artist"] == "stamp-test" for r in rows),
        "held out",
    )


if __name__ == "__main__":
    main()
