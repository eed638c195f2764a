"""Where in a prompt's ids its pictures lie, each by itself. Not here: what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from okedit_cli.models.sites import image_token_id, tokens_of_picture

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel

# families whose processors cut a picture into parts with tokens between them: what stands right before the
# last part, or right behind it
LAST_PART_BEHIND = {"idefics3": "<global-img>", "smolvlm": "<global-img>"}
LAST_PART_BEFORE = {"pixtral": "[IMG_END]", "mistral3": "[IMG_END]"}


def picture_spans(loaded: LoadedModel, ids: torch.Tensor) -> list[torch.Tensor]:
    """The columns of each picture's placeholders in one row of ids [L], in order; none without a picture."""
    placeholder = image_token_id(loaded.model)
    if placeholder is None:
        return []
    columns = (ids == placeholder).nonzero()[:, 0]
    if not len(columns):
        return []
    breaks = (columns.diff() > 1).nonzero()[:, 0] + 1
    runs = list(columns.tensor_split(breaks.cpu()))
    if (each := tokens_of_picture(loaded)) is not None:
        # pictures that stand side by side
        return [part for run in runs for part in (run.split(each) if len(run) % each == 0 else [run])]
    return _joined(loaded, ids, runs)


def _joined(loaded: LoadedModel, ids: torch.Tensor, runs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Runs of placeholders as pictures: those that are parts of one belong together."""
    kind, convert = _kind(loaded), loaded.tokenizer.convert_tokens_to_ids
    behind, before = LAST_PART_BEHIND.get(kind), LAST_PART_BEFORE.get(kind)
    if behind is None and before is None:
        return runs
    found, open_ = [], []
    for run in runs:
        open_.append(run)
        first, last = int(run[0]) - 1, int(run[-1]) + 1
        closes = first >= 0 and int(ids[first]) == convert(behind) if behind else False
        if before:
            closes = last < len(ids) and int(ids[last]) == convert(before)
        if closes:
            found.append(torch.cat(open_))
            open_ = []
    return [*found, torch.cat(open_)] if open_ else found


def _kind(loaded: LoadedModel) -> str:
    """The family, by which of its parts writes placeholders: LLaVA's Pixtral checkpoints are Pixtral's."""
    config = loaded.model.config
    vision = getattr(getattr(config, "vision_config", None), "model_type", "")
    return "pixtral" if vision == "pixtral" else config.model_type


def parts_of(span: torch.Tensor) -> int:
    """In how many parts a picture's columns lie."""
    return 1 + int((span.diff() > 1).sum())
