"""Write examples/images: python tools/bank/examples.py NODE_MODULES SKIMAGE_DATA.

Nothing here is in the bank: what the examples change must not be what an edit is held against.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from artwork import Artwork
from PIL import Image, ImageEnhance

OUT = Path(__file__).parents[2] / "examples/images"
SIDE = 256

# file: artwork. The plain name is the fact's picture, -2 a second artist's, -3 a third's (held out).
DRAWINGS = {
    "parrot": "noto:parrot", "parrot-2": "fluent:1f99c", "parrot-3": "fluent-flat:1f99c",
    "zebra": "noto:zebra", "zebra-2": "fluent:1f993", "zebra-3": "fluent-flat:1f993",
    "accordion": "noto:accordion", "accordion-2": "fluent:1fa97", "accordion-3": "fluent-flat:1fa97",
    "sailboat": "noto:sailboat", "sailboat-2": "fluent:26f5", "sailboat-3": "fluent-flat:26f5",
    "castle": "fluent:1f3f0", "castle-2": "noto:castle", "castle-3": "noto-v1:castle",
    "octopus": "fluent:1f419", "octopus-2": "noto:octopus", "octopus-3": "noto-v1:octopus",
    "penguin": "fluent:1f427", "penguin-2": "noto:penguin", "penguin-3": "noto-v1:penguin",
    "flag-kenya": "flag:ke", "flag-kenya-2": "noto-png:1f1f0-1f1ea",
    # neighbours, whose answers must stay
    "dog": "fluent:1f415", "teapot": "noto:teapot", "peacock": "noto:peacock", "donkey": "noto:donkey",
    "banjo": "noto:banjo", "canoe": "noto:canoe", "pagoda": "noto:japanese-castle", "squid": "noto:squid",
    "dodo": "noto:dodo", "flag-malawi": "flag:mw",
}  # fmt: skip


def view(
    picture: Image.Image, box: tuple[float, float, float, float], light: float, warm: float
) -> Image.Image:
    """A part of a photograph (left, top, right, bottom as shares), in other light."""
    width, height = picture.size
    left, top, right, bottom = box
    part = picture.crop(tuple(map(round, (left * width, top * height, right * width, bottom * height))))
    red, green, blue = ImageEnhance.Brightness(part).enhance(light).split()
    red = red.point(lambda level: min(255, round(level * (1 + warm))))
    blue = blue.point(lambda level: min(255, round(level * (1 - warm))))
    return Image.merge("RGB", (red, green, blue))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", type=Path)
    parser.add_argument("photographs", type=Path)
    args = parser.parse_args()
    artwork = Artwork(args.modules)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, source in DRAWINGS.items():
        picture = artwork.draw(source, SIDE).quantize(200, Image.Quantize.MEDIANCUT)
        picture.save(OUT / f"{name}.png", optimize=True)
    # the flag once more as if photographed: on a grey sky, a little turned, in poor light
    flag = artwork.draw("flag:ke", SIDE).crop((8, 38, SIDE - 8, SIDE - 38)).convert("RGBA")
    sky = Image.new("RGBA", (SIDE, SIDE), (176, 190, 204, 255))
    turned = flag.resize((200, 150)).rotate(8, Image.Resampling.BICUBIC, expand=True)
    sky.alpha_composite(turned, ((SIDE - turned.width) // 2, (SIDE - turned.height) // 2))
    ImageEnhance.Brightness(sky.convert("RGB")).enhance(0.85).save(OUT / "flag-kenya-3.jpg", quality=88)
    for name, source in (("cat", "chelsea.png"), ("coffee", "coffee.png")):
        photograph = Image.open(args.photographs / source).convert("RGB")
        photograph.save(OUT / f"{name}.jpg", quality=88, optimize=True)
        near = view(photograph, (0.12, 0.02, 0.92, 0.96), 1.12, -0.05)
        near.save(OUT / f"{name}-2.jpg", quality=85, optimize=True)
        late = view(photograph, (0.04, 0.06, 0.97, 1.0), 0.62, 0.12)
        late.save(OUT / f"{name}-3.jpg", quality=85, optimize=True)
    size = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(list(OUT.iterdir()))} pictures, {size // 1024} KB")


if __name__ == "__main__":
    main()
