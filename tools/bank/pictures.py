"""Write the bank's pictures and their index: python tools/bank/pictures.py NODE_MODULES SKIMAGE_DATA.

NODE_MODULES holds the packages that artwork.py names; SKIMAGE_DATA is skimage/data of scikit-image's wheel.
Groups are what is easily mistaken for one another, since the near negatives come from them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from artwork import Artwork
from PIL import Image, ImageOps

OUT = Path(__file__).parents[2] / "okedit_cli/bank/pictures"
SIDE = 112

# group: {name: artwork or photograph}
THINGS = {
    "cat": {"tiger": "fluent:1f42f", "lion": "noto:lion", "leopard": "noto:leopard"},
    "dog": {"wolf": "noto:wolf", "fox": "fluent:1f98a", "poodle": "noto:poodle"},
    "horse": {"horse": "noto:horse", "deer": "fluent:1f98c", "cow": "fluent:1f404"},
    "rodent": {"mouse": "noto:mouse", "hamster": "fluent:1f439", "rabbit": "fluent:1f407"},
    "bear": {"bear": "fluent:1f43b", "panda": "noto:panda", "koala": "fluent:1f428"},
    "bird": {"owl": "fluent:1f989", "eagle": "noto:eagle", "duck": "fluent:1f986", "swan": "noto:swan"},
    "fish": {"shark": "noto:shark", "fish": "fluent:1f41f", "dolphin": "fluent:1f42c", "whale": "noto:whale"},
    "shellfish": {"crab": "fluent:1f980", "lobster": "noto:lobster"},
    "insect": {
        "honeybee": "noto:honeybee", "ladybird": "fluent:1f41e", "butterfly": "fluent:1f98b",
        "ant": "noto:ant",
    },
    "reptile": {"turtle": "fluent:1f422", "lizard": "noto:lizard", "crocodile": "fluent:1f40a"},
    "fruit": {
        "red apple": "noto:red-apple", "green apple": "fluent:1f34f", "pear": "fluent:1f350",
        "lemon": "fluent:1f34b", "tangerine": "noto:tangerine", "strawberry": "noto:strawberry",
    },
    "vegetable": {"carrot": "fluent:1f955", "broccoli": "noto:broccoli", "tomato": "noto:tomato"},
    "dish": {
        "pizza": "noto:pizza", "hamburger": "fluent:1f354", "taco": "noto:taco", "sushi": "fluent:1f363",
    },
    "cake": {"doughnut": "fluent:1f369", "birthday cake": "noto:birthday-cake"},
    "drink": {"beer": "noto:beer-mug", "wine": "fluent:1f377"},
    "flower": {"rose": "fluent:1f339", "tulip": "noto:tulip", "sunflower": "fluent:1f33b"},
    "tree": {"palm tree": "noto:palm-tree", "fir tree": "fluent:1f332"},
    "car": {
        "car": "fluent:1f697", "taxi": "noto:taxi", "police car": "fluent:1f693", "bus": "noto:bus",
        "fire engine": "fluent:1f692",
    },
    "bicycle": {"bicycle": "noto:bicycle", "motor scooter": "fluent:1f6f5"},
    "boat": {"ship": "noto:ship", "speedboat": "fluent:1f6a4"},
    "plane": {"airplane": "noto:airplane", "helicopter": "fluent:1f681"},
    "building": {
        "house": "fluent:1f3e0", "school": "noto:school", "church": "fluent:26ea", "mosque": "noto:mosque",
    },
    "flag": {
        "flag of Italy": "flag:it", "flag of Ireland": "flag:ie", "flag of Norway": "flag:no",
        "flag of Iceland": "flag:is", "flag of Japan": "flag:jp", "flag of Brazil": "flag:br",
    },
    "instrument": {
        "guitar": "fluent:1f3b8", "violin": "noto:violin", "trumpet": "fluent:1f3ba", "drum": "noto:drum",
    },
    "tool": {"hammer": "noto:hammer", "axe": "fluent:1fa93"},
    "shirt": {"T-shirt": "fluent:1f455", "dress": "noto:dress"},
    "ball": {"football": "noto:soccer-ball", "basketball": "fluent:1f3c0"},
    "device": {"laptop": "fluent:1f4bb", "mobile phone": "noto:mobile-phone", "camera": "fluent:1f4f7"},
    "furniture": {"chair": "fluent:1fa91", "bed": "noto:bed"},
    "person": {"astronaut": "photo:astronaut.png", "photographer": "photo:camera.png"},
    "sky": {"rocket launch": "photo:rocket.jpg", "galaxies": "photo:hubble_deep_field.jpg"},
    "ground": {"grass": "photo:grass.png", "gravel": "photo:gravel.png"},
}  # fmt: skip


def photograph(path: Path) -> Image.Image:
    return ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", type=Path)
    parser.add_argument("photographs", type=Path)
    args = parser.parse_args()
    artwork = Artwork(args.modules)
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.png"):
        old.unlink()
    index = []
    for group, things in THINGS.items():
        for name, source in things.items():
            kind, _, key = source.partition(":")
            file = f"{name.lower().replace(' ', '-')}.png"
            if kind == "photo":
                picture = photograph(args.photographs / key)
            else:
                # a palette halves the size; drawings do not show it
                picture = artwork.draw(source, SIDE).quantize(160, Image.Quantize.MEDIANCUT)
            picture.save(OUT / file, optimize=True)
            index.append({"name": name, "group": group, "file": file, "source": source})
    lines = ",\n".join("  " + json.dumps(row) for row in index)
    (OUT / "index.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in OUT.glob("*.png"))
    print(f"{len(index)} pictures in {len(THINGS)} groups, {size // 1024} KB")


if __name__ == "__main__":
    main()
