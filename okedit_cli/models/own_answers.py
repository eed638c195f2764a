"""What the unedited model says to a question about a picture, by itself: evidence of what is asked.

A model that says the same to two questions about one picture takes them for the same question. The answers
are short, read behind the picture's prefix, and kept with its look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from okedit_cli.models.decode import go_on
from okedit_cli.models.question import asks_behind, behind_picture
from okedit_cli.models.reading import prompts_behind, shares

if TYPE_CHECKING:
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.models.prefixes import Prefix

LONGEST = 16  # tokens of an answer
KEPT = 256  # answers kept of one picture


def own_answer(loaded: LoadedModel, prefix: Prefix, question: str) -> str | None:
    """The beginning of the unedited model's answer to a question about the picture of a prefix; None where
    its prompts cannot be read in parts, or its questions do not stand behind the picture. To be called
    with the attachment aside.
    """
    if prefix.seen is None or not shares(loaded) or not asks_behind(loaded):
        return None
    said = prefix.seen.said
    if question not in said:
        if len(said) >= KEPT:
            said.clear()
        rest = behind_picture(loaded, question)
        [ids] = go_on(loaded, prompts_behind(loaded, [prefix], rest), LONGEST)
        said[question] = loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return said[question]
