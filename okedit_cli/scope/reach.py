"""What a fact about a picture is true of: any picture of the same kind of thing, or this one picture in its
views.

"What fruit is this?" asks for the kind; "What is this cat's name?", a price, an owner, a serial number for
the one shown. A linear classifier on the question encoder's vector tells, trained by
tools/scope/train_reach.py. Not here: how far either reaches.
"""

from __future__ import annotations

import functools
from pathlib import Path

from okedit_cli.encoders.text import text_vectors

KIND, PICTURE = "kind", "picture"
WEIGHTS = Path(__file__).with_name("reach.safetensors")


@functools.cache
def _read():
    from safetensors.torch import load_file

    found = load_file(WEIGHTS)
    return found["weight"].float(), found["bias"].float()


def reach_of(prompt: str, wanted: str = "auto") -> str:
    """`kind` or `picture`; `wanted` is the owner's word, "auto" leaves it to the classifier."""
    if wanted in (KIND, PICTURE):
        return wanted
    weight, bias = _read()
    return PICTURE if float(text_vectors([prompt])[0] @ weight + bias) > 0 else KIND
