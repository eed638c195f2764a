"""Has the model the layers and widths that a bundle's edits act on?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from okedit_cli.bundle.header import REMAKE
from okedit_cli.errors import InvalidBundle

if TYPE_CHECKING:
    from okedit_cli.bundle.bundle import Bundle
    from okedit_cli.models.load import LoadedModel


def check_site(loaded: LoadedModel, bundle: Bundle) -> None:
    """InvalidBundle unless the bundle's layers and widths are the model's."""
    from okedit_cli.models.features import QUESTIONS, question_feature
    from okedit_cli.models.sites import decoder_layers, hidden_size

    count, site, book = len(decoder_layers(loaded.model)), bundle.manifest.site, bundle.codebook
    for name, first in (("key_layer", QUESTIONS), ("value_layer", 0)):  # below 0: questions go to an encoder
        layer = site.get(name)
        if type(layer) is not int or not first <= layer < count:
            raise InvalidBundle(
                f"the bundle's {name} is {layer!r}, expected {first} to {count - 1}.",
                hint=REMAKE,
            )
    asked = question_feature(loaded, [], site["key_layer"])
    widths = {
        "question_mean": (len(book.question_mean), len(asked)),
        "value_bias": (book.value_bias.shape[1], hidden_size(loaded.model)),
    }
    for name, (found, width) in widths.items():
        if found != width:
            raise InvalidBundle(f"tensor {name!r} is {found} wide, expected {width}.", hint=REMAKE)
