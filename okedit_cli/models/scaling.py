"""How large a picture okedit shows to a model: where tokens grow with a picture, no more than PICTURE_TOKENS.

A photograph of 12 megapixels is 15,500 tokens to Qwen2.5-VL, and nothing of what okedit fits or decides needs
them. What a user's own processor makes is left as it is. Not here: how a picture becomes tokens.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from okedit_cli.models.sites import tokens_of_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from okedit_cli.models.load import LoadedModel

PICTURE_TOKENS = 1280  # a megapixel to Qwen2.5-VL
TRIES = 6  # sizes are rounded to patches, so that the first guess may be a little too large


def scaled(loaded: LoadedModel, picture: Image) -> Image:
    """The picture, or a smaller one where it would take more than PICTURE_TOKENS and a smaller one takes
    fewer: in families that lay out every picture in as many tiles none does.
    """
    if tokens_of_picture(loaded) is not None:
        return picture
    width, height = picture.size
    count = _tokens(loaded, width, height)
    if count is None or count <= PICTURE_TOKENS:
        return picture
    share = math.sqrt(PICTURE_TOKENS / count)
    for _ in range(TRIES):
        size = max(1, round(width * share)), max(1, round(height * share))
        count = _tokens(loaded, *size)
        if count is None:
            return picture
        if count <= PICTURE_TOKENS:
            return picture.resize(size)
        share *= 0.97
    return picture


def _tokens(loaded: LoadedModel, width: int, height: int) -> int | None:
    """The placeholders of a picture of this size; None where its processor cannot tell without it."""
    tell = getattr(loaded.processor, "_get_num_multimodal_tokens", None)
    if tell is None:
        return None
    try:
        [count] = tell(image_sizes=[(height, width)]).num_image_tokens
    except (AttributeError, KeyError, TypeError, ValueError):  # a processor of its own kind
        return None
    return int(count)
