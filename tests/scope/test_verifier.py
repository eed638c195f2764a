"""Is a query's picture a view of an edit's own, also where a processor has squeezed it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scope import held

from okedit_cli.scope.query import Picture
from okedit_cli.scope.verifier import Verifier

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
CAT = {"id": "cat", "prompt": "What is this cat's name?", "reach": "picture"}


def shown(name: str, size: tuple[int, int]) -> Picture:
    """A picture as a model's tensors show it, in a shape of the processor's."""
    image = Image.open(EXAMPLES / name).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return Picture(held.place(1.0), lambda: np.asarray(image), reshaped=True)


@pytest.mark.parametrize("size", [(224, 224), (336, 224), (224, 336)])
def test_a_picture_that_a_processor_squeezed_is_still_a_view_of_itself(size):
    own = Image.open(EXAMPLES / "cat.jpg")
    bundle = held.bundle(CAT | {"at": held.place(1.0), "image": own})
    assert Verifier().is_view(bundle, 0, shown("cat.jpg", size)) is True
    assert Verifier().is_view(bundle, 0, shown("coffee.jpg", size)) is not True
