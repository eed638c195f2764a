"""The two spaces of a base model, measured once on the reference bank and kept in the user's cache.

Questions: which features (the sentence encoder's, or mean states of a layer), whitened by what varies between
wordings, tell questions apart best.
Pictures: the tokens the decoder receives, whitened by what varies between views of one picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from okedit_cli.bank import load_bank
from okedit_cli.edits.space import Space, best_space
from okedit_cli.methods.base import Options
from okedit_cli.models.features import SENTENCES, picture_features, question_layers
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.mini.download import okedit_home
from okedit_cli.models.question import question_ids
from okedit_cli.models.sites import decoder_layers
from okedit_cli.transforms import views

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

VIEWS = 4  # of each bank picture
RECIPE = 6  # changes whenever a space would come out differently


@dataclass(frozen=True)
class Spaces:
    """Question space and its layer, picture space (None for a text model), and the bank as keys in them."""

    question: Space
    layer: int
    picture: Space | None
    bank_questions: torch.Tensor  # [all questions of the bank, r]
    bank_pictures: torch.Tensor | None  # [pictures of the bank, r]


def candidate_layers(count: int) -> list[int]:
    """What may serve as the question's feature: the sentence encoder, and a few of the model's own lower
    layers.
    """
    return [SENTENCES, *sorted({0, 1, count // 8, count // 4, count // 2} & set(range(count)))]


def spaces_of(loaded: LoadedModel, options: Options) -> Spaces:
    """The model's spaces, from memory, from the cache, or measured now."""
    if "spaces" not in loaded.cache:
        print_ = fingerprint(loaded)
        wanted = {k: v for k, v in print_.items() if k not in ("name", "revision")}
        mark = json.dumps(
            [RECIPE, load_bank().version, wanted, str(loaded.dtype)], sort_keys=True, default=str
        )
        path = okedit_home() / "spaces" / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.safetensors"
        found = _read(path)
        if found is None:
            found = _measure(loaded, options)
            _write(path, found)
        loaded.cache["spaces"] = found
    return loaded.cache["spaces"]


def _measure(loaded: LoadedModel, options: Options) -> Spaces:
    bank = load_bank()
    options.tell("measuring question space", 0, 1)
    texts, groups = [], []
    for number, group in enumerate(bank.questions):
        texts += [question_ids(loaded, w) for w in group.wordings]
        groups += [number] * len(group.wordings)
    layers = candidate_layers(len(decoder_layers(loaded.model)))
    features, group = question_layers(loaded, texts, layers), torch.tensor(groups)
    judged = {layer: best_space(features[layer], group) for layer in layers}
    layer = max(layers, key=lambda i: (round(judged[i].separation, 3), -i))
    question = judged[layer]
    bank_questions = question(features[layer])
    options.tell("measuring question space", 1, 1)
    if loaded.processor is None:
        return Spaces(question, layer, None, bank_questions, None)
    rows, owners, plain = [], [], []
    for number, shown in enumerate(bank.pictures):
        options.tell("measuring picture space", number, len(bank.pictures))
        seen = picture_features(loaded, [shown.image, *views(shown.image, VIEWS, number)])
        plain.append(seen[0])
        rows.append(seen)
        owners += [number] * len(seen)
    picture = best_space(torch.cat(rows), torch.tensor(owners))
    options.tell("measuring picture space", len(bank.pictures), len(bank.pictures))
    return Spaces(question, layer, picture, bank_questions, picture(torch.stack(plain)))


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
    return Spaces(question, int(numbers[0]), picture, found["bank_questions"], found.get("bank_pictures"))


def _write(path, spaces: Spaces) -> None:
    """Keep the spaces for the next run; a cache that cannot be written costs time, not the edit."""
    from safetensors.torch import save_file

    question, picture = spaces.question, spaces.picture
    tensors = {
        "question_mean": question.mean,
        "question_projection": question.projection,
        "bank_questions": spaces.bank_questions,
    }
    numbers = [spaces.layer, question.separation, question.shrinkage, 0.0, 0.0]
    if picture is not None:
        tensors |= {
            "picture_mean": picture.mean,
            "picture_projection": picture.projection,
            "bank_pictures": spaces.bank_pictures,
        }
        numbers[3:] = [picture.separation, picture.shrinkage]
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
