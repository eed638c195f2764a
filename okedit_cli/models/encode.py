"""Questions to tensors and back: batches of (prompt, picture), the ids of an answer, the ids of the question
alone.

Every row is encoded by itself and the rows are put together here. So a row's tensors do not depend on its
neighbours, and rows with and without a picture share a batch, which several processors refuse.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models.prompts import adds_special_tokens, render
from okedit_cli.models.question import question_token_ids
from okedit_cli.models.scaling import scaled
from okedit_cli.models.sites import image_token_id, looks_both_ways, text_config

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from okedit_cli.models.load import LoadedModel

__all__ = ["answer_ids", "encode", "question_token_ids"]


def encode(
    loaded: LoadedModel,
    questions: Sequence[tuple[str, Image | None]],
    *,
    side: Literal["left", "right"] = "left",
    answers: Sequence[Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """Model inputs for a batch: input_ids and attention_mask [B, L], picture tensors as the family wants
    them.

    `answers` are ids (of answer_ids) to put behind each prompt, for teacher forcing. Raises UsageError (no
    question, a picture for a text-only model, too long), ModelError (placeholders do not agree).
    """
    if not questions:
        raise UsageError("There is no question to encode.", hint="Pass at least one (prompt, picture).")
    rows = [encode_row(loaded, prompt, picture) for prompt, picture in questions]
    if answers is not None:
        rows = [_extend(loaded, row, ids) for row, ids in zip(rows, answers, strict=True)]
    return join_rows(loaded, rows, side=side)


def encode_row(loaded: LoadedModel, prompt: str, picture: Image | None) -> dict[str, Tensor]:
    """One question's inputs, input_ids [1, L] and the rest, on the CPU as the processor gives them."""
    if picture is not None and loaded.processor is None:
        raise UsageError(
            f"{loaded.name} is a text-only model and cannot look at a picture.",
            hint="Leave the picture out, or use a vision-language model such as okedit-mini.",
        )
    text = render(loaded, prompt, picture is not None)
    special = adds_special_tokens(loaded, text)
    if loaded.processor is None:
        row = loaded.tokenizer(text, add_special_tokens=special, return_tensors="pt")
    elif picture is None and not _reads_text_alone(loaded):
        row = _without_picture(loaded, prompt)
    else:
        pictures = {} if picture is None else {"images": [scaled(loaded, picture)]}
        row = loaded.processor(text=[text], **pictures, add_special_tokens=special, return_tensors="pt")
    # PaliGemma's labels are for training; what InstructBLIP's Q-Former reads goes with a picture alone
    out = ("labels",) if picture is not None else ("labels", "qformer_input_ids", "qformer_attention_mask")
    row = {key: value for key, value in row.items() if key not in out}
    _check(loaded, row, picture is not None)
    return row


def _reads_text_alone(loaded: LoadedModel) -> bool:
    """Whether the processor takes a prompt without a picture (PaliGemma's does not)."""
    if "reads text alone" not in loaded.cache:
        try:
            loaded.processor(text=["?"], return_tensors="pt")
        except (ValueError, TypeError):
            loaded.cache["reads text alone"] = False
        else:
            loaded.cache["reads text alone"] = True
    return loaded.cache["reads text alone"]


def _without_picture(loaded: LoadedModel, prompt: str) -> dict[str, Tensor]:
    """A prompt as it stands beside a (blank) picture, and the picture's part taken out."""
    from PIL import Image

    row = dict(encode_row(loaded, prompt, Image.new("RGB", (64, 64))))
    words = row["input_ids"][0] != image_token_id(loaded.model)
    return {key: value[:, words] for key, value in row.items() if _runs_along(key, value, row)}


def join_rows(
    loaded: LoadedModel, rows: Sequence[dict[str, Tensor]], *, side: str = "left"
) -> dict[str, Tensor]:
    """Rows of encode_row as one batch on the model's device, pads on `side`, floats in the model's dtype."""
    import torch

    lengths = [row["input_ids"].shape[1] for row in rows]
    pad = next(
        (i for i in (loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id) if i is not None), 0
    )
    batch = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        there = [row[key] for row in rows if key in row]
        if all(_runs_along(key, row[key], row) for row in rows if key in row):
            fill = pad if key == "input_ids" else 0
            # a row without the key (token types of a row without picture) is all zeros
            like = there[0]
            full = [
                row.get(key, like.new_zeros((1, n, *like.shape[2:])))
                for row, n in zip(rows, lengths, strict=True)
            ]
            if like.ndim > 2 and len(there) < len(rows):
                raise UsageError(
                    f"{loaded.name} cannot take questions with and without a picture in one batch.",
                    hint="Encode the two kinds apart.",
                )
            batch[key] = torch.cat([_pad(value, max(lengths), fill, side) for value in full])
        else:
            batch[key] = torch.cat(_same_shape(there))
    if _wants_positions(loaded):
        mask = batch["attention_mask"]
        batch["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    return {
        key: value.to(loaded.device, loaded.dtype if value.is_floating_point() else None)
        for key, value in batch.items()
    }


def answer_ids(loaded: LoadedModel, answer: str) -> list[int]:
    """The ids the model would generate for this answer, with the token that ends its turn as the last."""
    answer = answer.strip()
    known = loaded.cache.setdefault("answers", {})
    if answer not in known:
        known[answer] = _answer_ids(loaded, answer)
    return list(known[answer])


def end_ids(loaded: LoadedModel) -> list[int]:
    """Ids that end generation, the config's first."""
    ends = loaded.model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return [i for i in dict.fromkeys([*ends, loaded.tokenizer.eos_token_id]) if i is not None]


def _answer_ids(loaded: LoadedModel, answer: str) -> list[int]:
    if not answer:
        raise UsageError("The answer is empty.", hint="Give the words the model should say.")
    prompt = "?"  # what comes before the answer's turn does not matter
    before, after = render(loaded, prompt, False), render(loaded, prompt, False, answer)
    # Where a template writes a finished turn otherwise than the opening it offers, the answer follows the
    # opening.
    tail = after[len(before) :] if after.startswith(before) else answer
    end = tail.find(answer) + len(answer)
    spoken, rest = tail[:end], tail[end:]

    def ids(text: str, special: bool = False) -> list[int]:
        return loaded.tokenizer(text, add_special_tokens=special)["input_ids"]

    # Tokenised in place: a sentencepiece tokenizer would begin a lone answer with a space of its own.
    special = adds_special_tokens(loaded, before)
    head, both = ids(before, special), ids(before + spoken, special)
    found = both[len(head) :] if both[: len(head)] == head else ids(spoken)
    ends = end_ids(loaded)
    if not ends:
        raise ModelError(
            f"{loaded.name} has no token that ends an answer.", hint="Set eos_token_id in its config."
        )
    return [*found, next((i for i in ids(rest) if i in ends), ends[0])]


def _extend(loaded: LoadedModel, row: dict[str, Tensor], ids: Sequence[int]) -> dict[str, Tensor]:
    """The row with an answer behind it: seen by attention, and text in every other tensor that runs along."""
    import torch

    tail = {"input_ids": torch.tensor([list(ids)]), "attention_mask": torch.ones(1, len(ids))}
    if looks_both_ways(loaded):  # what is told apart as an answer is not seen by the prompt
        tail["token_type_ids"] = torch.ones(1, len(ids))
    return {
        key: torch.cat(
            [value, tail.get(key, value.new_zeros(1, len(ids), *value.shape[2:])).to(value.dtype)], dim=1
        )
        if _runs_along(key, value, row)
        else value
        for key, value in row.items()
    }


def _wants_positions(loaded: LoadedModel) -> bool:
    """Text models count positions from the first column, pads included, unless told: GPT-2 would read other
    words.

    generate() tells them by itself; a plain forward does not. The families with pictures rotate (only
    distances count) or, like Qwen2-VL, work out positions of their own.
    """
    if loaded.processor is not None:
        return False
    if "takes_positions" not in loaded.cache:
        loaded.cache["takes_positions"] = "position_ids" in inspect.signature(loaded.model.forward).parameters
    return loaded.cache["takes_positions"]


def check_length(loaded: LoadedModel, length: int, what: str = "prompt") -> None:
    """UsageError for a prompt of no tokens, or of more than the model reads."""
    if not length:
        raise UsageError("The prompt is empty.", hint="Write a question.")
    longest = getattr(text_config(loaded.model), "max_position_embeddings", None)
    if longest and length > longest:
        raise UsageError(
            f"The {what} has {length} tokens; {loaded.name} reads at most {longest}.",
            hint=f"Shorten the {what}.",
        )


def _check(loaded: LoadedModel, row: dict[str, Tensor], with_picture: bool) -> None:
    """The row's length and its placeholders: none without a picture, as many as its features with one."""
    check_length(loaded, row["input_ids"].shape[1])
    placeholder = image_token_id(loaded.model)
    if placeholder is None:
        return
    count = int((row["input_ids"] == placeholder).sum())
    expected = _expected(loaded, row) if with_picture else 0
    if (with_picture and not count) or (expected is not None and count != expected):
        raise ModelError(
            f"{loaded.name}: {count} image placeholders in the prompt, {expected or 'at least 1'} expected.",
            hint="Its processor and its config do not belong together; download or save the model again.",
        )


def _expected(loaded: LoadedModel, row: dict[str, Tensor]) -> int | None:
    """How many placeholders the picture tensors call for, where a rule is known; None: the model checks it
    itself.
    """
    config = loaded.model.config
    if "image_grid_thw" in row:
        merge = getattr(config.vision_config, "spatial_merge_size", None)
        return None if merge is None else int(row["image_grid_thw"].prod(-1).sum()) // merge**2
    if config.model_type in ("idefics3", "smolvlm"):
        tiles = row["pixel_values"].shape[1]
        vision = config.vision_config
        return tiles * (vision.image_size // vision.patch_size) ** 2 // config.scale_factor**2
    return None


def _runs_along(key: str, value: Tensor, row: dict[str, Tensor]) -> bool:
    """Whether a tensor has one entry a token (and so is padded with the text)."""
    return not key.startswith(("pixel", "image", "qformer")) and value.shape[:2] == row["input_ids"].shape


def _pad(value: Tensor, length: int, fill: int, side: str) -> Tensor:
    import torch

    pads = value.new_full((value.shape[0], length - value.shape[1], *value.shape[2:]), fill)
    return torch.cat([pads, value] if side == "left" else [value, pads], dim=1)


def _same_shape(values: list[Tensor]) -> list[Tensor]:
    """Tensors with their trailing sizes filled up with zeros to the largest: tiles of pictures that differ in
    size.
    """
    from torch.nn.functional import pad

    sizes = [max(value.shape[i] for value in values) for i in range(1, values[0].ndim)]
    return [
        pad(value, [n for i in reversed(range(len(sizes))) for n in (0, sizes[i] - value.shape[i + 1])])
        for value in values
    ]
