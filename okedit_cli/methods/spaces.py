"""The two spaces of a base model, and how far an edit may reach in them; kept in the user's cache.

Questions: the taught question encoder as it is, with the radius that was calibrated on held-back wordings.
Pictures: the tokens the decoder receives, mapped as was learned for okedit-mini, or for any other model
whitened by what varies between views of one picture of the bank; and beside them the name that the model has
for the picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.bank import load_bank
from okedit_cli.edits.space import Space, best_space
from okedit_cli.methods.base import Options
from okedit_cli.models.features import QUESTIONS, SENTENCES, pooled_width, question_layers
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini.looks import LOOK_WIDTH, has_learned_looks
from okedit_cli.models.packages import okedit_home
from okedit_cli.models.question import question_ids
from okedit_cli.models.recognition import NAME_WIDTH, look_features, picture_features
from okedit_cli.models.sentences import question_radius
from okedit_cli.models.sites import decoder_layers
from okedit_cli.transforms import views

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

VIEWS = 4  # of each picture of the bank
RECIPE = 13  # changes whenever a space would come out differently


@dataclass(frozen=True)
class Reaches:
    """How far an edit reaches in a picture space, in its unit. Set on the fit split of okedit-pictures."""

    tight: float  # another name: only what looks the same
    own: float  # a picture of one individual, whatever it is called
    loose: float  # the same name: other drawings of the thing

    @property
    def name(self) -> float:
        """Length of a name's vector: two names lie `loose` from each other at looks that lie `tight`."""
        return ((self.loose**2 - self.tight**2) / 2) ** 0.5


VERIFIED = 1.25  # of Reaches.own: all of 1,200 views of photographs look so much alike (models/thumbnails.py)
# the unit is the median distance of a bank picture to the nearest other one
WHITENED = Reaches(0.63, 0.9, 1.4)
# the unit is what the training calls near; for things that were left out of it
LEARNED = Reaches(0.84, 1.15, 1.5)


@dataclass(frozen=True)
class Spaces:
    """Question space and its layer, picture space (None for a text model), the bank's keys in them, and how
    far edits may reach: `question_reach` a distance, `picture_unit` what `reaches` are multiples of.
    """

    question: Space
    layer: int
    picture: Space | None
    bank_questions: torch.Tensor  # [all questions of the bank, r]
    bank_pictures: torch.Tensor | None  # [pictures of the bank, r]
    question_reach: float = float("inf")
    picture_unit: float = float("inf")
    reaches: Reaches = WHITENED

    @property
    def named_radius(self) -> float:
        """How far an edit of a thing reaches: pictures of its name, or that look the same."""
        return self.reaches.loose * self.picture_unit

    @property
    def own_radius(self) -> float:
        """How far an edit of one individual reaches; its keys have no name, and all names are as far."""
        return (self.reaches.own**2 + self.reaches.name**2) ** 0.5 * self.picture_unit

    @property
    def verified_radius(self) -> float:
        """The same where what is shown is laid over the individual's picture: farther, since looks only say
        what is worth a try (same_picture.py).
        """
        return ((VERIFIED * self.reaches.own) ** 2 + self.reaches.name**2) ** 0.5 * self.picture_unit


def of_bank(spaces: Spaces) -> dict[int, tuple[object, torch.Tensor]]:
    """The bank's pictures and their keys by the pictures' ids; {} where the spaces know another bank."""
    shown, keys = load_bank().pictures, spaces.bank_pictures
    if keys is None or len(keys) != len(shown):
        return {}
    return {id(p.image): (p.image, key) for p, key in zip(shown, keys, strict=True)}


def candidate_layers(count: int) -> list[int]:
    """What may serve as the question's feature, of a model of so many layers: the question encoder."""
    return [QUESTIONS]


_OF_SPACES = frozenset(("names", "learned-looks", "whitening", "question-encoder"))


def spaces_of(loaded: LoadedModel, options: Options) -> Spaces:
    """The model's spaces, from memory, from the cache, or measured now."""
    without = sorted(options.without & _OF_SPACES)
    place = " without ".join(["spaces", *without])
    if place not in loaded.cache:
        print_ = fingerprint(loaded)
        wanted = {k: v for k, v in print_.items() if k not in ("name", "revision")}
        mark = json.dumps(
            [RECIPE, load_bank().version, wanted, str(loaded.dtype), *without], sort_keys=True, default=str
        )
        path = okedit_home() / "spaces" / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.safetensors"
        found = _read(path)
        if found is None:
            found = _measure(loaded, options)
            _write(path, found)
        loaded.cache[place] = found
    return loaded.cache[place]


def _measure(loaded: LoadedModel, options: Options) -> Spaces:
    bank = load_bank()
    options.tell("measuring question space", 0, 1)
    texts, groups = [], []
    for number, group in enumerate(bank.questions):
        texts += [question_ids(loaded, w) for w in group.wordings]
        groups += [number] * len(group.wordings)
    layers = candidate_layers(len(decoder_layers(loaded.model)))
    if "question-encoder" in options.without:
        layers = [SENTENCES]
    features, group = question_layers(loaded, texts, layers), torch.tensor(groups)
    if layers == [QUESTIONS]:
        layer, question, reach = QUESTIONS, _as_it_is(features[QUESTIONS].shape[1]), question_radius()
    elif layers == [SENTENCES]:
        layer, question = SENTENCES, _as_it_is(features[SENTENCES].shape[1])
        reach = _between(features[SENTENCES], group)
    else:
        judged = {layer: best_space(features[layer], group) for layer in layers}
        layer = max(layers, key=lambda i: (round(judged[i].separation, 3), -i))
        question = judged[layer]
        reach = _between(question(features[layer]), group)
    bank_questions = question(features[layer])
    options.tell("measuring question space", 1, 1)
    if loaded.processor is None:
        return Spaces(question, layer, None, bank_questions, None, reach)
    look, unit, reaches = _looks(loaded, options)
    if "names" in options.without:
        reaches = Reaches(reaches.own, reaches.own, reaches.own)  # whatever it is called
    picture = _with_names(look, reaches.name * unit, pooled_width(loaded))
    shown = picture(picture_features(loaded, [p.image for p in bank.pictures]))
    return Spaces(question, layer, picture, bank_questions, shown, reach, unit, reaches)


def _looks(loaded: LoadedModel, options: Options) -> tuple[Space, float, Reaches]:
    """The space of looks, its unit, and how far edits reach in it."""
    pooled = pooled_width(loaded)
    if has_learned_looks(loaded) and not options.without & {"learned-looks", "whitening"}:
        behind = torch.cat([torch.zeros(pooled, LOOK_WIDTH), torch.eye(LOOK_WIDTH)])
        return Space(torch.zeros(len(behind)), behind, 1.0, 0.0), 1.0, LEARNED
    bank, rows, owners = load_bank(), [], []
    for number, shown in enumerate(bank.pictures):
        options.tell("measuring picture space", number, len(bank.pictures))
        seen = look_features(loaded, [shown.image, *views(shown.image, VIEWS, number)])
        rows.append(seen[:, :pooled])
        owners += [number] * len(rows[-1])
    options.tell("measuring picture space", len(bank.pictures), len(bank.pictures))
    if "whitening" in options.without:
        look = _as_it_is(rows[0].shape[1])
    else:
        look = best_space(torch.cat(rows), torch.tensor(owners))
    return look, _unit(look(torch.stack([seen[0] for seen in rows]))), WHITENED


def _as_it_is(width: int) -> Space:
    return Space(torch.zeros(width), torch.eye(width), 1.0, 0.0)


def _between(keys: torch.Tensor, group: torch.Tensor) -> float:
    """The distance below which one in a hundred keys has its nearest key of another group."""
    distance = torch.cdist(keys, keys).masked_fill(group[:, None] == group[None], torch.inf)
    return float(distance.amin(1).quantile(0.01))


def _unit(keys: torch.Tensor) -> float:
    """The median distance of a picture to the nearest other one."""
    distance = torch.cdist(keys, keys)
    distance.fill_diagonal_(torch.inf)
    return float(distance.amin(1).median())


def _with_names(look: Space, weight: float, pooled: int) -> Space:
    """The space of looks with names beside it, each direction as long as `weight`. In picture vectors the
    name stands behind the `pooled` look [pooled], and before what is learned.
    """
    width, size = look.projection.shape
    name = slice(pooled, pooled + NAME_WIDTH)
    rows = [row for row in range(width + NAME_WIDTH) if not name.start <= row < name.stop]
    whole = torch.zeros(width + NAME_WIDTH, size + NAME_WIDTH)
    whole[rows, :size] = look.projection
    whole[name, size:] = weight * torch.eye(NAME_WIDTH)
    mean = torch.zeros(width + NAME_WIDTH)
    mean[rows] = look.mean
    return Space(mean, whole, look.separation, look.shrinkage)


def _read(path) -> Spaces | None:
    from safetensors.torch import load_file

    try:
        found = load_file(path)
        numbers = found["numbers"].tolist()
    except (OSError, ValueError, KeyError):
        return None
    except Exception as error:  # safetensors raises its own type for a damaged file
        if type(error).__name__ != "SafetensorError":
            raise
        return None
    question = Space(found["question_mean"], found["question_projection"], numbers[1], numbers[2])
    picture = None
    if "picture_mean" in found:
        picture = Space(found["picture_mean"], found["picture_projection"], numbers[3], numbers[4])
    bank = found["bank_questions"], found.get("bank_pictures")
    return Spaces(question, int(numbers[0]), picture, *bank, numbers[5], numbers[6], Reaches(*numbers[7:10]))


def _write(path, spaces: Spaces) -> None:
    """Keep the spaces for the next run; a cache that cannot be written costs time, not the edit."""
    from safetensors.torch import save_file

    question, picture = spaces.question, spaces.picture
    tensors = {
        "question_mean": question.mean,
        "question_projection": question.projection,
        "bank_questions": spaces.bank_questions,
    }
    reaches = [spaces.question_reach, spaces.picture_unit, *astuple(spaces.reaches)]
    numbers = [spaces.layer, question.separation, question.shrinkage, 0.0, 0.0, *reaches]
    if picture is not None:
        tensors |= {
            "picture_mean": picture.mean,
            "picture_projection": picture.projection,
            "bank_pictures": spaces.bank_pictures,
        }
        numbers[3:5] = [picture.separation, picture.shrinkage]
    tensors["numbers"] = torch.tensor(numbers, dtype=torch.float64)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        os.close(handle)
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)
        os.replace(temporary, path)
    except OSError:
        return


__all__ = ["Spaces", "question_ids", "spaces_of"]
