"""The picture space of a model: in what vectors lie pictures near each other, and how far an edit may reach
there.

okedit-mini's was learned (models/mini/pictures.py). For any other model what enters its decoder is whitened
on the spot by what varies between views of the bank's pictures; the map goes into the bundle. Not here: an
edit's own radius (keys.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from okedit_cli import bank as banks
from okedit_cli.edits.space import Space, best_space
from okedit_cli.encoders import text
from okedit_cli.encoders.image import DECODER, MINI, image_vectors, reads_pixels
from okedit_cli.methods.base import Options
from okedit_cli.models.features import look_vectors, vectors_together
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini import pictures as mini
from okedit_cli.models.packages import okedit_home
from okedit_cli.samples.transforms import views

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

VIEWS, TOGETHER = 4, 8  # of each picture of the bank; pictures that are held with their views at a time
RECIPE = 23  # changes whenever a space would come out differently
KIND = 0.9  # radius of a whitened space, in median distances of a bank picture to the nearest other one
# share of reference pictures inside a radius, and what is left of it then (tools/scope/train_pictures.py)
STRANGERS, CLEAR = 0.01, 0.92
NO_MAP = Space(torch.zeros(0), torch.zeros(0, 1), 0.0, 0.0)


@dataclass(frozen=True)
class Spaces:
    """Where pictures are judged; `picture` None for a text model.

    `kind`: the radius that near drawings lie beyond. bank_questions [all questions of the bank, 384] and
    bank_pictures [pictures of the bank, r]: their keys.
    """

    picture: Space | None
    point: str
    bank_questions: torch.Tensor
    encoder: str = text.DEFAULT
    text_radius: float | None = None  # of another text encoder than okedit's
    bank_pictures: torch.Tensor | None = None
    kind: float = float("inf")

    def keys(self, loaded: LoadedModel | None, pictures) -> torch.Tensor:
        """Keys [n, r] of pictures; `loaded` None: of an encoder that needs no base model."""
        return projected(self.picture, vectors_at(self.point, loaded, pictures))

    def radius(self, keys: torch.Tensor) -> float:
        """The calibrated radius of an edit with these keys [k, r], its own picture's first.

        A little less than the distance that STRANGERS of the reference pictures undercut (a conformal
        quantile), and, the surer the picture is a drawing, the less beyond `kind`.
        """
        reference = mini.reference_pictures() if self.point == MINI else self.bank_pictures
        away = torch.cdist(reference.float(), keys.float()).amin(1).sort().values
        calibrated = CLEAR * float(away[int(STRANGERS * len(away))])
        photograph = mini.photograph_share(keys[0]) if self.point == MINI else 0.0
        return min(calibrated, self.kind / max(1e-6, 1 - photograph))


def vectors_at(point: str, loaded: LoadedModel | None, pictures) -> torch.Tensor:
    """Vectors [n, d] of pictures at a picture point; without a model by the encoder alone."""
    alone = loaded is None or reads_pixels(point)
    return image_vectors(pictures, point) if alone else look_vectors(loaded, pictures)


def projected(space: Space, vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [n, d] in a space; one without a map takes them as they are."""
    return vectors.float() if not len(space.mean) else space(vectors)


def spaces_of(loaded: LoadedModel | None, options: Options) -> Spaces:
    """The model's spaces, from memory, from the cache, or measured now; without a model those of encoders."""
    if loaded is None:
        return _found(None, options)
    place = " ".join(filter(None, ("spaces", options.text_encoder, options.image_encoder)))
    if place not in loaded.cache:
        loaded.cache[place] = _found(loaded, options)
    return loaded.cache[place]


def _found(loaded: LoadedModel | None, options: Options) -> Spaces:
    bank, encoders = banks.load_bank(), [options.text_encoder, options.image_encoder]
    of_model: list = ["no model"]
    if loaded is not None:
        print_ = {k: v for k, v in fingerprint(loaded).items() if k not in ("name", "revision")}
        of_model = [print_, str(loaded.dtype)]
    mark = json.dumps([RECIPE, bank.version, *of_model, *encoders], sort_keys=True, default=str)
    path = okedit_home() / "spaces" / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.safetensors"
    tensors = _read(path)
    if tensors is None:
        tensors = _measured(loaded, options)
        _write(path, tensors)
    return of_tensors(tensors, _point(loaded, options), options.text_encoder or text.DEFAULT)


def _point(loaded: LoadedModel | None, options: Options) -> str:
    """Where pictures are read."""
    own = MINI if loaded is None or mini.has_learned_map(loaded) else DECODER
    return options.image_encoder or own


def of_tensors(tensors: dict[str, torch.Tensor], point: str, encoder: str = text.DEFAULT) -> Spaces:
    """Spaces from what was measured: `questions` with their `groups`, and for a model with pictures
    `pictures`, `mean` and `projection`.
    """
    questions, pictures = tensors["questions"], tensors.get("pictures")
    radius = None if encoder == text.DEFAULT else between(questions, tensors["groups"])
    if pictures is None:
        return Spaces(None, point, questions, encoder, radius)
    if point == MINI:
        return Spaces(NO_MAP, point, questions, encoder, radius, pictures, mini.calibrated("kind radius"))
    space = Space(tensors["mean"], tensors["projection"], 0.0, 0.0)
    distance = torch.cdist(pictures, pictures)
    distance.fill_diagonal_(torch.inf)
    unit = float(distance.amin(1).median())
    return Spaces(space, point, questions, encoder, radius, pictures, KIND * unit)


def between(keys: torch.Tensor, groups: torch.Tensor) -> float:
    """The distance below which one in a hundred keys has its nearest key of another group."""
    distance = torch.cdist(keys, keys).masked_fill(groups[:, None] == groups[None], torch.inf)
    return float(distance.amin(1).quantile(0.01))


def _measured(loaded: LoadedModel | None, options: Options) -> dict[str, torch.Tensor]:
    bank = banks.load_bank()
    options.tell("measuring question space", 0, 1)
    words = [w for group in bank.questions for w in group.wordings]
    counts = torch.tensor([len(group.wordings) for group in bank.questions])
    found = {
        "questions": text.text_vectors(words, options.text_encoder or text.DEFAULT),
        "groups": torch.arange(len(counts)).repeat_interleave(counts),
    }
    options.tell("measuring question space", 1, 1)
    if loaded is not None and loaded.processor is None:
        return found
    rows, owners, point = [], [], _point(loaded, options)
    read = vectors_together if point == DECODER else partial(vectors_at, point)
    for start in range(0, len(bank.pictures), TOGETHER):
        options.tell("measuring picture space", start, len(bank.pictures))
        part = [
            [shown.image, *(() if point == MINI else views(shown.image, VIEWS, number))]
            for number, shown in enumerate(bank.pictures[start : start + TOGETHER], start)
        ]
        vectors = read(loaded, [picture for some in part for picture in some])
        rows += vectors.split([len(some) for some in part])
        owners += [start + place for place, some in enumerate(part) for _ in some]
    options.tell("measuring picture space", len(bank.pictures), len(bank.pictures))
    own = torch.stack([seen[0] for seen in rows])
    if point == MINI:
        return found | {"pictures": own}
    space = best_space(torch.cat(rows), torch.tensor(owners))
    return found | {"pictures": space(own), "mean": space.mean, "projection": space.projection}


def _read(path) -> dict[str, torch.Tensor] | None:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, ValueError):
        return None
    except Exception as error:  # safetensors raises its own type for a damaged file
        if type(error).__name__ != "SafetensorError":
            raise
        return None


def _write(path, tensors: dict[str, torch.Tensor]) -> None:
    """Keep what was measured for the next run; a cache that cannot be written costs time, not the edit."""
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        os.close(handle)
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)
        os.replace(temporary, path)
    except OSError:
        return


__all__ = ["Spaces", "of_tensors", "projected", "spaces_of"]
