"""Where in a prompt's ids its pictures lie, each by itself. Not here: what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from okedit_cli.models.sites import family, image_token_id, tokens_of_picture

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


def side_by_side(
    loaded: LoadedModel, spans: list[list[torch.Tensor]], sizes: torch.Tensor | None
) -> list[list[torch.Tensor]]:
    """The spans of a batch's rows, where pictures of these sizes [n, 2] stand side by side: cut by how many
    tokens each takes, or equally (LLaVA-OneVision).
    """
    count = sum(map(len, spans))
    if sizes is None or not count or len(sizes) == count:
        return spans
    whole = sum(len(span) for row in spans for span in row)
    told = getattr(loaded.processor, "_get_num_multimodal_tokens", None)
    lengths = [] if told is None else list(told(image_sizes=sizes.tolist())["num_image_tokens"])
    if sum(lengths) != whole:  # several pictures of one prompt are not cut into tiles
        lengths = [whole // len(sizes)] * len(sizes)
    if sum(lengths) != whole:
        return spans
    out, start = [], 0
    for row in spans:
        out.append([])
        for span in row:
            while len(span) and start < len(lengths):
                out[-1].append(span[: lengths[start]])
                span, start = span[lengths[start] :], start + 1
    return out


def _joined(loaded: LoadedModel, ids: torch.Tensor, runs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Runs of placeholders as pictures: those that are parts of one belong together."""
    kind, convert = family(loaded.model), loaded.tokenizer.convert_tokens_to_ids
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


def showing_all(loaded: LoadedModel, columns: torch.Tensor) -> torch.Tensor:
    """Of a picture's columns those that show all of it, where others show tiles: how many tiles there are
    depends on the picture's size and on the pictures beside it.
    """
    config, kind = loaded.model.config, family(loaded.model)
    if kind in ("llava_next", "llava_onevision"):
        vision = config.vision_config
        return columns[: (vision.image_size // vision.patch_size) ** 2]
    if kind in ("idefics3", "smolvlm"):
        return columns[-getattr(loaded.processor, "image_seq_len", len(columns)) :]
    if kind == "internvl":
        return columns[-getattr(loaded.processor, "image_seq_length", len(columns)) :]
    return columns


def parts_of(span: torch.Tensor) -> int:
    """In how many parts a picture's columns lie."""
    return 1 + int((span.diff() > 1).sum())
